package balancer

import (
	"math"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

// failover decides to which priorities the pool connects, and which share of the calls each of them takes. It is a state
// machine: it knows nothing but what it is told, and the time. It follows Envoy's priority levels for the shares and
// gRFC A56 for the connections:
//
//   - The best priority is always connected to, a worse one only while all better ones cannot carry all calls together.
//   - A priority with at least minHealthyRatio of its endpoints eligible carries everything; below that it carries in
//     proportion, and the rest spills over to the next. Once all are short the calls are spread in proportion.
//   - Endpoints that are about to connect count as eligible for connectTimeout from the moment in which the priority
//     became short: neither a start nor the restart of a few servers is a reason to go elsewhere. Only a priority
//     without a single eligible endpoint yields at once, if there is a worse one that is connected.
//   - Calls come back to a better priority once it could have carried them for failbackDelay.
//   - Connections to a priority without use are given up after retention.
type failover struct {
	minHealthyRatio float64
	connectTimeout  time.Duration
	failbackDelay   time.Duration
	retention       time.Duration // 0: for ever
	levels          []priority    // the best first
}

// priority is what failover knows of the endpoints of one priority. Times are in nanoseconds; never is none.
type priority struct {
	value uint32 // as discovery gives it
	standing
	connected bool
	share     float64 // of the calls

	able     float64 // the share that it could take
	admitted float64 // the share that it may take, less than able while calls come back

	shortSince  int64   // the eligible ones are too few to carry everything
	risingSince int64   // able is above admitted
	floor       float64 // the least of able since then
	wellSince   int64   // able is 1
	unusedSince int64
}

// standing is what the pool tells of a priority.
type standing struct {
	members  int
	eligible int // READY and not ejected
	takers   int // that calls go to: the eligible ones; in a panic, ejected ones as well
	pending  int // neither READY nor failed
}

func newPriority(value uint32) priority {
	return priority{value: value, shortSince: never, risingSince: never, wellSince: never, unusedSince: never}
}

const (
	never    = math.MinInt64
	rounding = 1e-9 // shares that differ by less are equal
)

// after returns t + d, the end of time if there is no such moment.
func after(t int64, d time.Duration) int64 {
	if t > 0 && int64(d) > math.MaxInt64-t {
		return math.MaxInt64
	}
	return t + int64(d)
}

func newFailover(cfg *policy.Failover) failover {
	cfg = policy.Complete(&policy.Service{LoadBalancing: &policy.LoadBalancing{Failover: cfg}}).LoadBalancing.Failover
	return failover{
		minHealthyRatio: policy.Value(cfg.MinHealthyRatio),
		connectTimeout:  policy.Value(cfg.ConnectTimeout),
		failbackDelay:   policy.Value(cfg.FailbackDelay),
		retention:       policy.Value(cfg.Retention),
	}
}

// configure takes new settings; what is known stays.
func (f *failover) configure(cfg *policy.Failover) {
	levels := f.levels
	*f = newFailover(cfg)
	f.levels = levels
}

// list makes the priorities those of values, which ascend; what is known of those that stay is kept.
func (f *failover) list(values []uint32) {
	known := f.levels
	f.levels = make([]priority, len(values))
	for i, v := range values {
		for len(known) > 0 && known[0].value < v {
			known = known[1:]
		}
		if len(known) > 0 && known[0].value == v {
			f.levels[i] = known[0]
			continue
		}
		f.levels[i] = newPriority(v)
	}
}

// only is decide for one priority: it carries everything.
func (f *failover) only() {
	for i := range f.levels {
		l := &f.levels[i]
		*l = newPriority(l.value)
		l.connected, l.share, l.able, l.admitted = true, 1, 1, 1
	}
}

// decide brings connected and share up to date. It returns when to call it again at the latest, never if nothing but a change
// of the standings can change the decision.
func (f *failover) decide(now int64) (next int64) {
	a := alarm(never)
	needed := f.connect(now, &a)
	f.admit(now, &a)
	f.divide()
	for i := range f.levels {
		f.retain(&f.levels[i], i < needed, now, &a)
	}
	return int64(a)
}

// alarm is the earliest of several moments; never is none.
type alarm int64

func (a *alarm) at(t int64) {
	if *a == never || t < int64(*a) {
		*a = alarm(t)
	}
}

// connect has as many priorities connected as are needed to carry all calls, and returns their number.
func (f *failover) connect(now int64, a *alarm) (needed int) {
	rest := 1.0
	for i := range f.levels {
		l := &f.levels[i]
		if rest > rounding {
			needed++
			l.connected = true
		}
		carries := 0.0
		if l.connected {
			carries = f.carries(l, now, a)
		}
		if l.able = 0; l.connected && l.takers > 0 {
			l.able = max(carries, capacity(l.takers, l.members, f.minHealthyRatio))
		}
		rest -= carries
	}
	return needed
}

// carries returns what a priority can carry, with those endpoints that it may count on.
func (f *failover) carries(l *priority, now int64, a *alarm) float64 {
	c := capacity(l.eligible, l.members, f.minHealthyRatio)
	if c >= 1 {
		l.shortSince = never
		return c
	}
	if l.shortSince == never {
		l.shortSince = now
	}
	if l.pending == 0 {
		return c
	}
	if end := after(l.shortSince, f.connectTimeout); now < end {
		a.at(end)
		return capacity(l.eligible+l.pending, l.members, f.minHealthyRatio)
	}
	return c
}

// admit lets a priority take what it is able to; after a time if it is taken from a worse one.
func (f *failover) admit(now int64, a *alarm) {
	worse := false // carries calls
	for i := len(f.levels) - 1; i >= 0; i-- {
		l := &f.levels[i]
		f.rise(l, worse, now, a)
		worse = worse || l.share > 0 && l.takers > 0
	}
}

func (f *failover) rise(l *priority, delayed bool, now int64, a *alarm) {
	if l.able <= l.admitted || !delayed || f.failbackDelay == 0 {
		l.admitted, l.risingSince, l.wellSince = l.able, never, never
		return
	}
	if l.risingSince == never {
		l.risingSince, l.floor = now, l.able
	}
	l.floor = min(l.floor, l.able)
	switch {
	case l.able < 1:
		l.wellSince = never
	case l.wellSince == never:
		l.wellSince = now
	}
	switch {
	case l.wellSince != never && now >= after(l.wellSince, f.failbackDelay):
		l.admitted, l.risingSince, l.wellSince = 1, never, never
		return
	case now >= after(l.risingSince, f.failbackDelay):
		l.admitted, l.risingSince = l.floor, now
		l.floor = l.able
	}
	if l.able > l.admitted {
		a.at(after(l.risingSince, f.failbackDelay))
	} else {
		l.risingSince = never
	}
	if l.wellSince != never {
		a.at(after(l.wellSince, f.failbackDelay))
	}
}

// divide computes the shares. What nobody may take goes to those who are able to, and what nobody is able to take to all in
// proportion.
func (f *failover) divide() {
	rest := 1.0
	for i := range f.levels {
		l := &f.levels[i]
		l.share = min(rest, l.admitted)
		rest -= l.share
	}
	for i := range f.levels {
		l := &f.levels[i]
		if more := min(rest, l.able-l.share); more > 0 {
			l.share += more
			rest -= more
		}
	}
	if taken := 1 - rest; rest > rounding && taken > 0 {
		for i := range f.levels {
			f.levels[i].share /= taken
		}
	}
}

// retain gives up the connections of a priority that has had no use for long.
func (f *failover) retain(l *priority, needed bool, now int64, a *alarm) {
	switch {
	case needed || l.share > 0 || !l.connected:
		l.unusedSince = never
		return
	case l.unusedSince == never:
		l.unusedSince = now
	}
	if f.retention == 0 {
		return
	}
	end := after(l.unusedSince, f.retention)
	if now < end {
		a.at(end)
		return
	}
	*l = newPriority(l.value)
}
