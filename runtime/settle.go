package goresilient

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/ledger"
	"github.com/goresilient/goresilient/runtime/internal/notsent"
)

// succeeded reports that an admitted call has ended well with its first attempt, at now, as most do.
func (g *guards) succeeded(a *admission, start, now int64) {
	if g.latency != nil {
		g.latency.Record(time.Duration(now - start))
	}
	switch {
	case g.ledger == nil:
	case (!g.late || ledger.Within(start, now)) && g.ordinary(a, time.Duration(now-start)):
		g.ledger.Add(now)
	default:
		if g.late {
			g.first(start)
		}
		g.settle(context.Background(), a, nil, start, now)
	}
}

// ordinary tells whether the breakers need not judge the success of a call that took so long.
func (g *guards) ordinary(a *admission, took time.Duration) bool {
	return (g.own.breaker == nil || g.own.breaker.Ordinary(a.own, took)) &&
		(g.service.breaker == nil || g.service.breaker.Ordinary(a.service, took))
}

// settle reports how an admitted call ended, at now. The context is its caller's; an error may need it.
func (g *guards) settle(ctx context.Context, a *admission, err error, start, now int64) {
	if g.throttle == nil && !g.breakers {
		return
	}
	if err != nil || !g.ordinary(a, time.Duration(now-start)) {
		g.flush(now)
	}
	code, blameless := codes.OK, false
	if err != nil {
		code, blameless = verdictOn(ctx, err, now-start)
	}
	g.judge(a, code, blameless, time.Duration(now-start), now)
}

// verdictOn returns the code of a call that began a while ago and ended with err, and whether the servers are not to blame for it.
func verdictOn(ctx context.Context, err error, ago int64) (code codes.Code, blameless bool) {
	err = sent(err)
	code = status.Code(err)
	return code, code == codes.Canceled && isCancelled(ctx) || code == codes.DeadlineExceeded && cameLate(ctx, ago) || refusedHere(err) || notsent.Is(err)
}

// judge tells the throttle and the breakers how an admitted call has ended. One that is nobody's fault counts nowhere.
func (g *guards) judge(a *admission, code codes.Code, blameless bool, took time.Duration, now int64) {
	if t := g.throttle; t != nil && !blameless {
		if code == codes.Unavailable || code == codes.ResourceExhausted {
			t.Refused(now)
		} else {
			t.Accepted(now, 1)
		}
	}
	g.own.judge(a.own, code, blameless, took, now)
	g.service.judge(a.service, code, blameless, took, now)
}

// judge tells the breaker how a call that it let through has ended.
func (s *scope) judge(p breaker.Permit, code codes.Code, blameless bool, took time.Duration, now int64) {
	if s.breaker == nil {
		return
	}
	outcome := breaker.Success
	switch {
	case blameless:
		outcome = breaker.Neutral
	case s.failures.has(code):
		outcome = breaker.Failure
	}
	s.breaker.Done(p, now, outcome, took)
}

// sent returns what the servers have made of a call that ended with err: if a guard of this client kept the last attempt from
// them, how the one before ended.
func sent(err error) error {
	var c *CallError
	if !refusedHere(err) || !errors.As(err, &c) {
		return err
	}
	for _, a := range slices.Backward(c.Attempts) {
		if !refusedHere(a.Err) {
			return a.Err
		}
	}
	return err
}

// cameLate tells whether the caller's deadline had passed before its call began, a while ago: no server saw it.
func cameLate(ctx context.Context, ago int64) bool {
	d, ok := ctx.Deadline()
	return ok && int64(time.Since(d)) >= ago
}

// abandon gives back what an admitted call was let through with, of whose end nothing is known.
func (g *guards) abandon(a *admission, now int64) {
	if b := g.own.breaker; b != nil {
		b.Done(a.own, now, breaker.Neutral, 0)
	}
	if b := g.service.breaker; b != nil {
		b.Done(a.service, now, breaker.Neutral, 0)
	}
}
