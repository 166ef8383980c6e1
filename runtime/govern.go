package goresilient

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/notsent"
	"github.com/goresilient/goresilient/runtime/internal/schedule"
)

// unaryCall is one unary call under policy. With hedging its fields are read by several goroutines, and written by none but
// where race says so.
type unaryCall struct {
	m        *method
	p        *plan
	ctx      context.Context // the caller's
	fullName string
	in       any
	opts     []grpc.CallOption // those of each attempt
	start    int64             // monotonic

	ends   int64          // when the policy's deadline strikes, monotonic; 0 for none
	struck *DeadlineError // of that deadline
	once   bool           // neither retried nor hedged
	nested bool           // part of a call that is itself a retry
	key    uint64
	keyed  bool

	targets *targets        // of the caller's options that tell of a call; nil if there are none
	last    *attempt.Record // of the attempt that began last; nil before the first, and if there is no need of records
	log     []Attempt       // the attempts that failed

	ended     int64 // when the last attempt was measured; 0 if none was
	attempts  int   // that were made
	withdrawn int64 // when the budget last granted an attempt more
	pauses    int   // before retries, since the server last said how long one shall be
}

// run makes a call under the plan p, and returns the reply, which may be another message than out.
func (m *method) run(ctx context.Context, p *plan, fullName string, in, out any, opts []grpc.CallOption) (any, error) {
	c := unaryCall{m: m, p: p, ctx: ctx, fullName: fullName, in: in, opts: p.options, start: clock.Now(), struck: p.struck}
	c.nested = p.repeats && isNested(ctx)
	total := p.total
	if len(opts) > 0 {
		total = c.take(opts, total)
	}
	if total > 0 {
		c.ends = clock.Add(c.start, total)
	}
	var admitted admission
	if refused := p.guards.admit(ctx, fullName, c.start, &admitted); refused != nil {
		if c.targets == nil {
			finishRefused(opts, refused)
		}
		c.finish(refused)
		return nil, refused
	}
	ended := false
	defer func() {
		if !ended { // an interceptor has panicked
			p.guards.abandon(&admitted, clock.Now())
		}
	}()
	var reply any
	var err error
	if delay, ok := p.hedgeDelay(c.start, c.nested); ok && !c.once {
		reply, c.attempts, err = c.race(out, delay)
	} else {
		reply, err = c.sequence(out)
	}
	ended = true
	p.guards.settle(ctx, &admitted, err, c.start, c.end())
	c.finish(err)
	return reply, err
}

// take reads the caller's options: those of this package, and those that must not see each attempt.
func (c *unaryCall) take(opts []grpc.CallOption, total time.Duration) time.Duration {
	for _, o := range opts {
		switch o := o.(type) {
		case callTimeout:
			total, c.struck = o.timeout, &DeadlineError{Method: c.fullName, Timeout: o.timeout, Limit: o.timeout, Field: "CallTimeout"}
		case noRetry:
			c.once = true
		case hashKey:
			c.key, c.keyed = o.hash, true
		}
	}
	if c.p.repeats && !c.once {
		opts, c.targets = splitTargets(opts)
	}
	c.opts = c.p.with(opts)
	return total
}

// end returns when the call ended. An attempt that was measured has looked at the clock already.
func (c *unaryCall) end() int64 {
	if c.ended != 0 {
		return c.ended
	}
	return clock.Now()
}

// finish tells the caller's options and the observer of the end of the call.
func (c *unaryCall) finish(err error) {
	if c.targets != nil {
		c.targets.finish(err)
	}
	o := c.m.client.observer
	if o == nil {
		return
	}
	o.Observe(c.ctx, &CallEvent{Method: c.fullName, Attempts: c.attempts, Code: status.Code(err), Err: err,
		Duration: time.Duration(clock.Now() - c.start)})
}

// allowance returns how long an attempt that begins now may take, deadline.None for as long as the caller's context lives.
// ok is false if there is no time left at all. It notes the error of the deadline.
func (c *unaryCall) allowance(t *try) (timeout time.Duration, ok bool) {
	timeout = deadline.None
	if c.ends == 0 && c.p.perAttempt == 0 && t.number == 1 {
		return timeout, true
	}
	left := schedule.Unlimited
	if c.ends != 0 {
		left = time.Duration(c.ends - t.began)
		timeout, t.cause = left, c.cause()
	}
	if d, has := c.ctx.Deadline(); has {
		if until := time.Until(d); until <= left {
			left = until
			timeout, t.cause = deadline.None, nil
		}
	}
	plan := c.p.schedule
	if c.once {
		plan.MaxAttempts = 1
	}
	own, ok := plan.Timeout(t.number, left, c.p.guards.known(t.began))
	if own < left {
		timeout, t.cause = own, c.attemptCause(own)
	}
	return timeout, ok
}

// cause returns the error of the policy's deadline.
func (c *unaryCall) cause() *DeadlineError {
	if c.struck.Method != c.fullName { // an RPC of another service
		c.struck = &DeadlineError{Method: c.fullName, Timeout: c.struck.Timeout, Limit: c.struck.Limit, Field: c.struck.Field}
	}
	return c.struck
}

func (c *unaryCall) attemptCause(own time.Duration) *DeadlineError {
	if struck := c.p.struckAttempt; struck.Method == c.fullName {
		return struck // told sets its time right if it comes to that
	}
	return &DeadlineError{Method: c.fullName, Timeout: own, Limit: c.p.perAttempt, Field: perAttemptField}
}

// begin makes the attempt's context. With cancel the attempt may be cancelled on its own.
func (c *unaryCall) begin(t *try, cancel bool) (ok bool) {
	t.began, t.ctx, t.opts = c.start, c.ctx, c.opts
	if t.number > 1 {
		t.began = clock.Now()
	}
	timeout, ok := c.allowance(t)
	if !ok {
		return false
	}
	if c.p.repeats && (t.number > 1 || c.nested) {
		t.ctx = markRetried(t.ctx, t.number-1)
	}
	parent, repeats := t.ctx, c.p.repeats && !c.once
	timed := timeout != deadline.None || cancel
	t.equip(parent, timed, c.m.client.records(), repeats)
	if t.record != nil {
		c.share(t)
	}
	if t.timed != nil {
		t.within = timeout
		t.timed.Start(parent, t.began, timeout, t.cause)
	}
	if repeats {
		c.retarget(t)
	}
	return true
}

// share lets the attempt's record take part in what the attempts of the call know.
func (c *unaryCall) share(t *try) {
	t.record.Before = c.last
	if c.keyed {
		t.record.SetKey(c.key)
	}
	c.last = t.record
}

// retarget gives the attempt options of its own, so that it cannot write to where the caller, or another attempt, reads.
func (c *unaryCall) retarget(t *try) {
	t.listen()
	if c.targets != nil {
		t.opts = c.targets.redirect(slices.Clip(t.opts), t.number)
	}
}

// invoke makes the attempt.
func (c *unaryCall) invoke(t *try, reply any) {
	client := c.m.client
	defer t.release() // an interceptor may panic
	if client.attemptUnary != nil {
		t.err = client.attemptUnary(t.ctx, c.fullName, c.in, reply, client.grpc, c.p.invoker, t.opts...)
	} else if c.p.guards.limited {
		c.p.invokePermitted(t, c.fullName, c.in, reply)
	} else {
		t.err = client.conn.Invoke(t.ctx, c.fullName, c.in, reply, t.opts...)
	}
	c.conclude(t)
}

// conclude takes the end of the attempt into account, and frees what it holds.
func (c *unaryCall) conclude(t *try) {
	if t.err != nil {
		t.err = c.explain(t, asStatus(t.err))
		if t.record != nil && t.record.Received() {
			t.err = notsent.FromServer(t.err)
		}
	}
	c.measure(t)
	t.release()
}

// explain returns the error of the attempt, naming the deadline if one of policy ended it.
func (c *unaryCall) explain(t *try, err error) error {
	if t.timed == nil || t.cause == nil {
		return err
	}
	err, t.struck = told(err, &t.timed.Context, t.cause, t.within)
	return err
}

// measure takes the attempt's latency into account, where anything asks for it.
func (c *unaryCall) measure(t *try) {
	o := c.m.client.observer
	if c.p.guards.latency == nil && o == nil && t.err == nil {
		return
	}
	if t.ended == 0 {
		t.ended = clock.Now()
	}
	t.took = time.Duration(t.ended - t.began)
	c.p.guards.measure(t)
	if o != nil {
		o.Observe(c.ctx, &AttemptEvent{Method: c.fullName, Attempt: t.attempt(c), Superseded: t.superseded()})
	}
}

// isCancelled tells whether the caller has given up, or has no time left.
func isCancelled(ctx context.Context) bool { return ctx.Err() != nil }

// failure returns the error of a call that ends with err.
func (c *unaryCall) failure(err error, reason StopReason) error {
	if len(c.log) == 0 {
		return err
	}
	if o := c.m.client.observer; o != nil && c.p.repeats {
		o.Observe(c.ctx, &StopEvent{Method: c.fullName, Reason: reason})
	}
	if c.exhausted(reason) {
		pushBack(c.ctx)
	}
	return &CallError{Method: c.fullName, Attempts: c.log, Stopped: reason, Err: err}
}

// exhausted tells whether a call that has failed was, or would have been, attempted again as far as policy and time allowed: whoever
// made it on somebody else's behalf asks him not to have it all done again.
func (c *unaryCall) exhausted(reason StopReason) bool {
	switch reason {
	case StoppedByAttempts, StoppedByBudget, StoppedByServer:
		return true
	case StoppedByDeadline:
		last := c.log[len(c.log)-1]
		return len(c.log) > 1 || c.p.retry != nil && c.p.retry.codes.has(last.Code)
	default:
		return false
	}
}
