package goresilient

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/notsent"
	"github.com/goresilient/goresilient/runtime/internal/pushback"
)

// sequence makes one attempt after the other until one succeeds or there shall be no further one.
func (c *unaryCall) sequence(out any) (any, error) {
	c.p.guards.first(c.start)
	t := try{number: 1}
	if !c.begin(&t, false) {
		err := c.expired()
		c.unsent(err)
		return nil, c.failure(err, StoppedByDeadline)
	}
	c.invoke(&t, out)
	return c.follow(&t, out)
}

// follow makes the attempts that follow t, which has ended and has written to reply.
func (c *unaryCall) follow(t *try, reply any) (any, error) {
	for {
		c.attempts, c.ended = t.number, t.ended
		if t.err == nil {
			c.won(t)
			return reply, nil
		}
		if !c.p.repeats && refusedHere(t.err) {
			return nil, t.err
		}
		c.log = append(c.log, t.attempt(c))
		wait, reason := c.again(t)
		if reason == "" {
			if reason = c.sleep(wait); reason != "" {
				c.p.guards.giveBack(c.withdrawn)
			}
		}
		if reason != "" {
			c.won(t) // the last attempt is what the caller's options tell of
			return nil, c.failure(c.final(t, reason), reason)
		}
		next := try{number: t.number + 1}
		if !c.begin(&next, false) {
			c.p.guards.giveBack(c.withdrawn)
			c.won(t)
			return nil, c.failure(c.expired(), StoppedByDeadline)
		}
		*t, reply = next, typeOf(reply).fresh()
		c.invoke(t, reply)
	}
}

// unsent tells the caller's options of the end of a call of which no attempt began, unless finish does.
func (c *unaryCall) unsent(err error) {
	if c.targets == nil {
		finishRefused(c.opts, err)
	}
}

// won lets the caller's options tell of the attempt.
func (c *unaryCall) won(t *try) {
	if c.targets != nil {
		c.targets.adopt(t.number)
	}
}

// again decides whether there is another attempt after t, which failed, and after which time.
func (c *unaryCall) again(t *try) (wait time.Duration, stop StopReason) {
	if stop = c.verdict(t); stop != "" {
		return 0, stop
	}
	return c.allot(t, t.number)
}

// allot grants an attempt more after t, which has no verdict against it, as far as attempts, time and budget are left, and tells after
// which time it is to begin. made is how many count towards max_attempts.
func (c *unaryCall) allot(t *try, made int) (wait time.Duration, stop StopReason) {
	r := c.p.retry
	if made >= r.maxAttempts {
		return 0, StoppedByAttempts
	}
	c.pauses++
	wait = r.backoff.Delay(c.pauses, c.m.client.random())
	if pushed, present, stopped := pushback.Parse(t.pushback()); stopped {
		return 0, StoppedByServer
	} else if present {
		wait, c.pauses = pushed, 0
	}
	now := clock.Now()
	if !c.inTime(now, wait) {
		return 0, StoppedByDeadline
	}
	if !c.p.guards.withdraw(now) {
		return 0, StoppedByBudget
	}
	c.withdrawn = now
	return wait, ""
}

// verdict tells why the failure of t is not followed by another attempt, whatever there is left of attempts, budget and time; "" if
// it may be.
func (c *unaryCall) verdict(t *try) StopReason {
	r := c.p.retry
	switch {
	case isCancelled(c.ctx):
		return gaveUp(c.ctx)
	case t.outOfTime():
		return StoppedByDeadline
	case c.once:
		return StoppedByOption
	case status.Code(t.err) == codes.Canceled && c.m.client.isGone():
		return StoppedByClose
	case r == nil:
		return StoppedByPolicy
	case refusedHere(t.err):
		return StoppedByRefusal
	case notsent.Is(t.err), !r.worth(t):
		return StoppedByCode
	case c.nested && r.skipNested:
		return StoppedByNesting
	default:
		return ""
	}
}

// gaveUp returns why a call ends whose caller's context has ended.
func gaveUp(ctx context.Context) StopReason {
	if ctx.Err() == context.DeadlineExceeded {
		return StoppedByDeadline
	}
	return StoppedByCaller
}

// inTime tells whether an attempt that begins after wait can end before the deadlines of the call.
func (c *unaryCall) inTime(now int64, wait time.Duration) bool {
	needed := wait + c.p.guards.fastest(now)
	if c.ends != 0 && now+int64(needed) >= c.ends {
		return false
	}
	d, ok := c.ctx.Deadline()
	return !ok || time.Until(d) > needed
}

// sleep waits for the next attempt, and tells why there is none if it waits in vain.
func (c *unaryCall) sleep(d time.Duration) StopReason {
	if d <= 0 {
		return ""
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ""
	case <-c.m.client.gone():
		return StoppedByClose
	case <-c.ctx.Done():
		return gaveUp(c.ctx)
	}
}

// final returns what the call ends with after its last attempt: while it waited, the caller may have given up, or the client
// may have been closed.
func (c *unaryCall) final(t *try, reason StopReason) error {
	if reason == StoppedByClose && status.Code(t.err) != codes.Canceled { // which is grpc's own way to tell of it
		return ErrClosed
	}
	if err := c.ctx.Err(); err != nil && status.Code(t.err) != codes.DeadlineExceeded {
		return status.FromContextError(err).Err()
	}
	return t.err
}

// expired is the error of a call whose time is up before an attempt could begin.
func (c *unaryCall) expired() error {
	if err := c.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if c.ends != 0 && clock.Now() >= c.ends {
		return c.cause()
	}
	return status.FromContextError(context.DeadlineExceeded).Err()
}
