package balancer

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// counting is where a call is counted as in flight.
type counting struct {
	load       *load
	generation *atomic.Uint64 // of load; nil: the call is untimed
	tallied    *atomic.Int64  // that counts the call as well; nil: none does
}

// leave takes the call out.
func (c *counting) leave() {
	if c.generation != nil {
		c.load.end(c.generation)
	} else {
		c.load.untimed.Add(-1)
	}
	if c.tallied != nil {
		c.tallied.Add(-1)
	}
}

// lingering is the attempts that have lost to another one of their call and still count as in flight.
//
// The attempts of a slow server are cancelled long before it would have answered them. To a rule that compares calls in flight it
// would look less busy than it is, and get more of them. An attempt that has lost therefore counts for some time longer. It does
// not age meanwhile, as the oldest call in flight does: what is known of the server's latency is what was measured.
//
// A call that its caller has given up does not linger. Callers have reasons of their own, and no other server has shown that it
// could have answered sooner.
//
// Each has a timer. They are few: the cap of hedging bounds how many there are, and maxLinger for how long. The zero value is
// closed. Nothing lingers while no balancer works for the channel, so that no timer outlasts the client.
type lingering struct {
	mu    sync.Mutex // guards what follows
	open  bool
	calls map[*lingerer]struct{}
}

// lingerer is one of them.
type lingerer struct {
	counting
	timer Timer
}

const (
	// lingerFactor: an attempt that has lost counts for so many times as long as it ran, from its end on. With 2, a server that is
	// ten times slower than its peers gets about as many calls as without hedging, with 1 a quarter more (bench/hedge, TestSlow).
	lingerFactor = 2
	// maxLinger is for how long it counts at most: a server that stalls for longer is a case for outlier detection.
	maxLinger = 5 * time.Second
)

// begin lets attempts linger from now on.
func (l *lingering) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.calls = true, make(map[*lingerer]struct{})
}

// close ends what lingers, and lets nothing linger any more.
func (l *lingering) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		c.timer.Stop()
		c.leave()
	}
	l.open, l.calls = false, nil
}

// add has an attempt that has run for so long count on; not if l is closed.
func (l *lingering) add(c counting, ran time.Duration, after func(time.Duration, func()) Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		c.leave()
		return
	}
	added := &lingerer{counting: c}
	added.timer = after(min(ran, maxLinger/lingerFactor)*lingerFactor, func() { l.end(added) })
	l.calls[added] = struct{}{}
}

// end is called by the timer of c.
func (l *lingering) end(c *lingerer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.calls[c]; ok {
		delete(l.calls, c)
		c.leave()
	}
}

// count returns how many linger, by where they are counted.
func (l *lingering) count() map[*load]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[*load]int64)
	for c := range l.calls {
		out[c.load]++
	}
	return out
}

// linger has an attempt that ended as info tells count on, if it has lost and the policy compares calls in flight. It tells
// whether it has taken care of the count.
func (c *Channel) linger(in counting, info *balancer.DoneInfo, rec *attempt.Record) bool {
	ran := rec.Superseded()
	if ran == 0 || !info.BytesSent || status.Code(info.Err) != codes.Canceled || !c.judge.Load().lingers {
		return false
	}
	if in.generation != nil {
		in.load.untimed.Add(1)
		in.load.end(in.generation)
		in.generation = nil
	}
	c.lingering.add(in, ran, c.opts.AfterFunc)
	return true
}
