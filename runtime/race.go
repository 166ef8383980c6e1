package goresilient

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/alarm"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/pushback"
)

// race is a call with hedging: attempts that run at the same time, of which the first to succeed, or to fail for good, ends
// the call. The first attempt runs on the goroutine of the caller; a hedge runs on that of the timer that began it.
//
// mu guards everything but call, of which it guards what changes: log, last, pauses, withdrawn, struck and targets. No attempt runs any more once the call returns.
type race struct {
	call *unaryCall
	kind replyType

	mu       sync.Mutex
	alarm    *alarm.Alarm // of the next hedge; nil once there is none to come
	due      int64        // when that is, monotonic
	delay    time.Duration
	number   int               // attempts that have begun
	hedges   int               // of them
	waiting  int               // retries that have not begun yet
	running  [maxAttempts]*try // nil where it has ended
	active   int               // goroutines that run attempts, or wait to
	others   sync.WaitGroup    // of them, those that are not the caller's
	settled  bool              // the call has its result
	quit     chan struct{}     // closed when it has; nil while nobody waits
	reply    any               // nil if it failed
	winner   int               // the attempt that ended the call
	err      error             // what it ended with
	reason   StopReason        // why there was no further attempt
	panicked string            // what a hedge has panicked with
}

// maxAttempts is the most that policy allows.
const maxAttempts = 5

// race makes the call with hedges, the first of them after delay. It returns how many attempts were made. The goroutines of
// the attempts share a copy of c.
func (c *unaryCall) race(out any, delay time.Duration) (any, int, error) {
	shared := *c
	c = &shared
	r, t := &race{call: c, kind: *c.m.kindOf(out), delay: delay, number: 1, active: 1}, &try{number: 1}
	c.p.guards.first(c.start)
	r.mu.Lock()
	began := r.begin(t)
	if began {
		r.arm(c.start, delay)
	}
	r.mu.Unlock()
	if !began {
		return nil, 0, c.failure(c.expired(), StoppedByDeadline)
	}
	defer r.leave()
	r.run(t, out)
	reply, err := r.outcome()
	return reply, r.number, err
}

// outcome returns what the call ended with, once nothing of it runs any more.
func (r *race) outcome() (reply any, err error) {
	r.others.Wait()
	if r.panicked != "" {
		panic(r.panicked)
	}
	r.call.won(&try{number: r.winner})
	if r.err != nil {
		return nil, r.call.failure(r.err, r.reason)
	}
	return r.reply, nil
}

// leave ends what still runs, if an interceptor panics on the goroutine of the caller.
func (r *race) leave() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.others.Wait()
}

// begin makes the attempt ready; r.mu is held. It fails if there is no time left.
func (r *race) begin(t *try) bool {
	if !r.call.begin(t, true) {
		return false
	}
	r.running[t.number-1] = t
	return true
}

// arm has the next hedge begin after delay; r.mu is held.
func (r *race) arm(now int64, delay time.Duration) {
	r.due = now + int64(delay)
	r.alarm = alarm.Set(now, delay, r)
}

// disarm has none begin; r.mu is held.
func (r *race) disarm() {
	if r.alarm != nil {
		r.alarm.Stop()
		r.alarm = nil
	}
}

// Ring implements [alarm.Target]: it begins another attempt while at least one is under way.
func (r *race) Ring() {
	c := r.call
	r.mu.Lock()
	now := clock.Now()
	if r.settled || r.alarm == nil || now < r.due || r.active == r.waiting || r.number+r.waiting >= c.p.maxAttempts() || isCancelled(c.ctx) {
		r.mu.Unlock()
		return
	}
	stop := StopReason("")
	if !c.inTime(now, 0) {
		stop = StoppedByDeadline
	} else if !c.p.guards.withdrawHedge(now) {
		stop = StoppedByBudget
	}
	t := &try{number: r.number + 1, hedge: true}
	if stop == "" && !r.begin(t) {
		stop = StoppedByDeadline
		c.p.guards.giveBackHedge(now)
	}
	if stop != "" {
		r.alarm = nil
		r.mu.Unlock()
		if o := c.m.client.observer; o != nil {
			o.Observe(c.ctx, &StopEvent{Method: c.fullName, Reason: stop, Hedge: true})
		}
		return
	}
	r.number++
	r.hedges++
	r.active++
	r.others.Add(1) // at least one attempt runs: nobody waits for others to reach 0
	if r.alarm = nil; r.hedges+1 < c.p.hedge.maxAttempts {
		r.arm(now, r.delay)
	}
	r.mu.Unlock()
	r.runAside(t)
}

// runAside is run on the goroutine of a hedge. A panic becomes one of the caller's goroutine, which may recover from it.
func (r *race) runAside(t *try) {
	defer r.others.Done()
	ended := false
	defer func() {
		if ended {
			return
		}
		v := recover()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.panicked = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
		r.active--
		r.stop()
	}()
	r.run(t, r.kind.fresh())
	ended = true
}

// run makes the attempt, and those that follow when it fails.
func (r *race) run(t *try, reply any) {
	for t != nil {
		r.call.invoke(t, reply)
		var wait time.Duration
		t, wait = r.ended(t, reply)
		if t == nil {
			return
		}
		t = r.resume(t, wait)
		reply = r.kind.fresh()
	}
}

// ended takes the result of an attempt. It returns the next attempt, to be made by the same goroutine after a while, nil if
// there is none.
func (r *race) ended(t *try, reply any) (next *try, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.call
	r.running[t.number-1] = nil
	if r.settled {
		r.active--
		return nil, 0
	}
	if t.err == nil {
		r.active--
		r.settle(t, reply, "")
		return nil, 0
	}
	c.log = append(c.log, t.attempt(c))
	r.obey(t)
	wait, stop := r.again(t)
	if stop == "" {
		r.waiting++
		return &try{began: c.withdrawn}, wait
	}
	r.active--
	if r.active == 0 || r.fatal(t) {
		r.settle(t, nil, stop)
	}
	return nil, 0
}

// obey puts the next hedge off to when the server wants it, or gives it up if the server wants none (gRFC A6); r.mu is held.
// Attempts under way go on.
func (r *race) obey(t *try) {
	wait, present, stopped := pushback.Parse(t.pushback())
	switch {
	case r.alarm == nil || !present:
	case stopped:
		r.disarm()
	default: // one that has rung already finds that it is not due
		r.disarm()
		r.arm(clock.Now(), wait)
	}
}

// again is [unaryCall.again] for the attempts of a race, which count together; r.mu is held.
func (r *race) again(t *try) (time.Duration, StopReason) {
	c, made := r.call, r.number+r.waiting
	switch stop := c.verdict(t); {
	case stop == StoppedByPolicy && !c.p.hedge.tolerates(t):
		return 0, StoppedByCode
	case stop != "" && stop != StoppedByPolicy:
		return 0, stop
	case made >= c.p.maxAttempts():
		return 0, StoppedByAttempts
	case stop != "":
		return 0, stop
	default:
		return c.allot(t, made-r.hedges) // hedges have a limit of their own
	}
}

// fatal tells whether the failure of t ends the call although other attempts are under way. One that another endpoint may
// not share does not.
func (r *race) fatal(t *try) bool {
	c := r.call
	if isCancelled(c.ctx) {
		return true
	}
	if refusedHere(t.err) {
		return false
	}
	return !c.p.hedge.tolerates(t)
}

// settle ends the call with the attempt's result; r.mu is held.
func (r *race) settle(t *try, reply any, reason StopReason) {
	r.winner, r.reply, r.err, r.reason = t.number, reply, t.err, reason
	if t.err != nil {
		r.err = r.call.final(t, reason)
	}
	r.stop()
}

// stop lets nothing more begin, and cancels what runs; r.mu is held. A second time it does nothing.
func (r *race) stop() {
	if r.settled {
		return
	}
	r.settled = true
	r.disarm()
	if r.quit != nil {
		close(r.quit)
	}
	for _, other := range r.running {
		if other != nil {
			if r.err == nil { // its server is slow, which the balancer is to know
				other.timed.Record.Supersede(time.Duration(clock.Now() - other.began))
			}
			other.timed.Cancel(errSuperseded)
		}
	}
}

// resume waits, and makes the next attempt ready, whose began is until then when the budget granted it. It returns nil if the
// call has ended meanwhile.
func (r *race) resume(t *try, wait time.Duration) *try {
	if wait > 0 {
		r.wait(wait)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	granted := t.began
	t.number = r.number + 1
	reason := StoppedByDeadline
	switch {
	case r.settled:
	case isCancelled(r.call.ctx):
		reason = gaveUp(r.call.ctx)
	case r.call.m.client.isGone():
		reason = StoppedByClose
	case r.begin(t):
		r.number++
		if r.alarm != nil { // the new attempt may take as long as the one before before it is hedged
			r.disarm()
			r.arm(t.began, r.delay)
		}
		return t
	}
	r.call.p.guards.giveBack(granted)
	r.active--
	if r.active == 0 && !r.settled {
		r.settle(&try{number: r.number, err: r.call.expired()}, nil, reason)
	}
	return nil
}

// wait returns after d, when the call has ended, when the caller gives up, or when the client is closed.
func (r *race) wait(d time.Duration) {
	r.mu.Lock()
	if r.settled {
		r.mu.Unlock()
		return
	}
	if r.quit == nil {
		r.quit = make(chan struct{})
	}
	quit := r.quit
	r.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-quit:
	case <-r.call.m.client.gone():
	case <-r.call.ctx.Done():
	}
}

// hedgeDelay returns after which time a call that begins at now is hedged; false if it is not.
func (p *plan) hedgeDelay(now int64, nested bool) (time.Duration, bool) {
	h := p.hedge
	if h == nil || nested && h.skipNested {
		return 0, false
	}
	if h.delay > 0 {
		return h.delay, true
	}
	return p.guards.quantile.Delay(now)
}
