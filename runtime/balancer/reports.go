package balancer

import (
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
)

// reports is what weighted_round_robin knows of the load of one endpoint. It is made when the policy first sees the
// endpoint READY, and stays.
//
// latest and done are for all; Channel.mu guards the rest.
type reports struct {
	// latest is the weight that the last report came to, as a float64; 0 if none came since the last look. Done needs
	// no clock: the time of a report is that of the look which finds it, and only looks ask for it.
	latest atomic.Uint64
	// done takes the report of a call, and counts nothing.
	done func(balancer.DoneInfo)
	ch   *Channel

	value   float32 // the weight, as of the last look; 0: unknown
	check   uint32  // the connection that it is of
	since   int64   // the weight is known
	updated int64
}

func newReports(ch *Channel) *reports {
	r := &reports{ch: ch}
	r.done = r.end
	return r
}

// end is done.
func (r *reports) end(info balancer.DoneInfo) { r.take(&info, r.ch.judge.Load().penalty) }

// take takes the report that came with the end of a call, if there is one: the first since the last look at the weights. Those
// after it would cost each call more than its pick does, and the next look is at most an update period away. It may be called
// with nil.
func (r *reports) take(info *balancer.DoneInfo, penalty float64) {
	if r == nil || r.latest.Load() != 0 {
		return
	}
	if load, ok := reportOf(info); ok {
		r.note(load, penalty)
	}
}

// note takes a report.
func (r *reports) note(load loadReport, penalty float64) {
	if w := load.weight(penalty); w > 0 {
		r.latest.Store(math.Float64bits(w))
	}
}

// weight returns the weight that the reports give the endpoint, 0 if they give none: there were none for long enough,
// or none of late. It may be called with nil.
func (r *reports) weight(now int64, s *weightedSettings) float64 {
	if r == nil {
		return 0
	}
	if r.latest.Load() != 0 {
		if r.value == 0 {
			r.since = now
		}
		r.value, r.updated = float32(math.Float64frombits(r.latest.Swap(0))), now
	}
	switch {
	case now-r.updated >= int64(s.expiration):
		r.value = 0 // the next one begins anew, blackout included
	case now-r.since < int64(s.blackout):
		return 0
	}
	return float64(r.value)
}

// forget begins anew, for another connection.
func (r *reports) forget() {
	r.latest.Store(0)
	r.value = 0
}

// attendance is what weighted_round_robin keeps of a group between two pickers. Channel.mu guards it.
type attendance struct {
	settings weightedSettings
	deafened uint32                    // Channel.deafened when they were
	targets  []target                  // that were attended to
	dones    []func(balancer.DoneInfo) // of their reports; pickers share the array, which is only ever appended to
}

// follow attends to the targets. What it costs is in proportion to what has come, if nothing has gone.
func (a *attendance) follow(p *pool, targets []target, s weightedSettings) {
	known := len(a.targets)
	if known > len(targets) || known > 0 && &a.targets[0] != &targets[0] || a.settings != s || a.deafened != p.ch.deafened {
		known, a.dones = 0, nil
	}
	for i := known; i < len(targets); i++ {
		a.dones = append(a.dones, p.attend(&targets[i], s).done)
	}
	a.targets, a.settings, a.deafened = targets, s, p.ch.deafened
}

// attend has the endpoint of a target report, as the settings say.
func (p *pool) attend(t *target, s weightedSettings) *reports {
	e := t.e
	r := e.reports.Load()
	if r == nil {
		r = newReports(p.ch)
		r.check = e.check
		e.reports.Store(r)
	}
	another := r.check != e.check
	if another {
		r.forget()
		r.check = e.check
	}
	if another || p.ch.streams[r].period != s.outOfBand {
		p.ch.listen(r, t.sc, s.outOfBand)
	}
	return r
}

// reporting is a stream of reports outside of calls.
type reporting struct {
	period time.Duration
	stop   func()
}

// listen asks for reports outside of calls, in place of the stream that there was; 0: it does not. c.mu is held.
func (c *Channel) listen(to *reports, sc balancer.SubConn, period time.Duration) {
	if s, ok := c.streams[to]; ok {
		delete(c.streams, to)
		s.stop()
	}
	if period <= 0 {
		return
	}
	if c.streams == nil {
		c.streams = make(map[*reports]reporting)
	}
	_, stop := sc.GetOrBuildProducer(&loadStream{ch: c, to: to, period: period})
	c.streams[to] = reporting{period, stop}
}

// deafen ends all streams of reports.
func (c *Channel) deafen() {
	c.deafened++
	for r := range c.streams {
		c.listen(r, nil, 0)
	}
}
