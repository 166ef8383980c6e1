package goresilient

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/budget"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/latency"
	"github.com/goresilient/goresilient/runtime/internal/ledger"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/internal/rate"
	"github.com/goresilient/goresilient/runtime/internal/throttle"
)

// guards are what the calls of a plan must pass, from the outside in, and what they report to. It is immutable; what it
// points to is shared with the plans before and after it, as long as policy leaves its parameters alone.
type guards struct {
	client   *Client
	scopes   []scope // of the method, of the service; those that have something on
	throttle *throttle.Throttle
	// observeThrottle is whether the throttle only counts what it would refuse.
	observeThrottle bool
	breakers        bool // some scope has one
	limited         bool // some scope has one
	queued          bool // some limit lets attempts wait
	clocked         bool // something asks when a call ends

	budget   *budget.Budget     // nil for no bound on retries and hedges
	hedges   *budget.Budget     // nil without hedging
	latency  *latency.Histogram // nil if nobody asks for it
	quantile *latency.Cached    // of latency: the delay of hedges
	floor    *latency.Cached    // of latency: what an attempt needs at the least

	// ledger has the calls that went well at the first attempt, which the budget, the throttle and the breakers are told of
	// together; nil if there is none of these.
	ledger *ledger.Ledger
}

// scope is the guards of a method, or of a service over all its methods. nil is off.
type scope struct {
	perMethod bool
	rate      *rate.Limiter
	breaker   *breaker.Breaker
	failures  codeSet // of the breaker
	limit     *limit.Limiter
	queued    bool // attempts may wait for the limit

	// Those that count what they would refuse, and refuse nothing. The breaker knows of it itself.
	observeRate, observeLimit bool
}

// maxScopes is how many there are.
const maxScopes = 2

// admission is what a call was let through with.
type admission struct {
	permits [maxScopes]breaker.Permit
}

// none tells whether there is nothing to pass.
func (g *guards) none() bool { return len(g.scopes) == 0 && g.throttle == nil }

// admit lets a call through with a, which is zero, or says what refused it.
func (g *guards) admit(ctx context.Context, fullName string, now int64, a *admission) (refused *RefusedError) {
	for i := range g.scopes {
		if s := &g.scopes[i]; s.rate != nil && !s.rate.Allow(now) {
			refused = &RefusedError{Method: fullName, Guard: GuardRateLimit, PerMethod: s.perMethod, RetryAfter: s.rate.RetryAfter(now)}
			if g.refuses(ctx, refused, s.observeRate) {
				return refused
			}
		}
	}
	if t := g.throttle; t != nil {
		if t.Stale(now) {
			g.client.postLedgers(now)
		}
		if !t.Allow(now, g.client.random) {
			refused = &RefusedError{Method: fullName, Guard: GuardAdaptiveThrottle}
			if g.refuses(ctx, refused, g.observeThrottle) {
				return refused
			}
		}
	}
	if g.breakers {
		return g.pass(ctx, a, fullName, now)
	}
	return nil
}

// pass asks the breakers.
func (g *guards) pass(ctx context.Context, a *admission, fullName string, now int64) *RefusedError {
	for i := range g.scopes {
		s := &g.scopes[i]
		if s.breaker == nil {
			continue
		}
		permit, ok := s.breaker.Allow(now)
		if permit != (breaker.Permit{}) {
			a.permits[i] = permit
			continue
		}
		refused := &RefusedError{Method: fullName, Guard: GuardCircuitBreaker, PerMethod: s.perMethod, RetryAfter: s.breaker.RetryAfter(now)}
		if !g.refuses(ctx, refused, ok) { // one that only observes lets the call through, without a permit
			continue
		}
		for j := range g.scopes[:i] { // the probe that another may have given
			if b := g.scopes[j].breaker; b != nil {
				b.Done(a.permits[j], now, breaker.Neutral, 0)
			}
		}
		return refused
	}
	return nil
}

// refuses tells the observer of a refusal. It returns false if nothing is refused, since the guard only observes.
func (g *guards) refuses(ctx context.Context, r *RefusedError, observed bool) bool {
	if o := g.client.observer; o != nil {
		o.Observe(ctx, &RefusalEvent{Refusal: r, Observed: observed})
	}
	return !observed
}

// succeeded reports that an admitted call has ended well with its first attempt, at now, as most do.
func (g *guards) succeeded(a *admission, start, now int64) {
	if g.latency != nil {
		g.latency.Record(time.Duration(now - start))
	}
	switch {
	case g.ledger == nil:
	case g.ordinary(a, time.Duration(now-start)):
		g.ledger.Add(now)
	default:
		g.deposit(start)
		g.settle(a, nil, nil, start, now)
	}
}

// ordinary tells whether the breakers need not judge the success of a call that took so long.
func (g *guards) ordinary(a *admission, took time.Duration) bool {
	if g.breakers {
		for i := range g.scopes {
			if b := g.scopes[i].breaker; b != nil && !b.Ordinary(a.permits[i], took) {
				return false
			}
		}
	}
	return true
}

// settle reports how an admitted call ended, at now. The context is its caller's; an error may need it.
func (g *guards) settle(a *admission, ctx context.Context, err error, start, now int64) {
	if g.throttle == nil && !g.breakers {
		return
	}
	if err != nil || !g.ordinary(a, time.Duration(now-start)) {
		g.client.postLedgers(now)
	}
	code := codes.OK
	neutral := false
	if err != nil {
		err = sent(err)
		code = status.Code(err)
		neutral = code == codes.Canceled && isCancelled(ctx) || code == codes.DeadlineExceeded && cameLate(ctx, now-start) || refusedHere(err)
	}
	if t := g.throttle; t != nil && !neutral {
		if code == codes.Unavailable || code == codes.ResourceExhausted {
			t.Refused(now)
		} else {
			t.Accepted(now, 1)
		}
	}
	if !g.breakers {
		return
	}
	for i := range g.scopes {
		s := &g.scopes[i]
		if s.breaker == nil {
			continue
		}
		outcome := breaker.Success
		switch {
		case neutral:
			outcome = breaker.Neutral
		case s.failures.has(code):
			outcome = breaker.Failure
		}
		s.breaker.Done(a.permits[i], now, outcome, time.Duration(now-start))
	}
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
func (g *guards) abandon(a *admission) {
	now := clock.Now()
	for i := range g.scopes {
		if b := g.scopes[i].breaker; b != nil {
			b.Done(a.permits[i], now, breaker.Neutral, 0)
		}
	}
}

// first counts the first attempt of a call.
func (g *guards) first(now int64) {
	g.deposit(now)
	g.depositHedge(now)
}

// deposit counts it in the budget.
func (g *guards) deposit(now int64) {
	if g.budget != nil {
		g.budget.Deposit(now, 1)
	}
}

// depositHedge counts it in what bounds the hedges.
func (g *guards) depositHedge(now int64) {
	if g.hedges != nil {
		g.hedges.Deposit(now, 1)
	}
}

// withdraw asks for an attempt more.
func (g *guards) withdraw(now int64) bool {
	if g.budget == nil {
		return true
	}
	g.client.postLedgers(now)
	return g.budget.Withdraw(now)
}

// giveBack takes back what withdraw granted at then, for an attempt that did not begin.
func (g *guards) giveBack(then int64) {
	if g.budget != nil {
		g.budget.Return(then)
	}
}

// withdrawHedge asks for a hedge.
func (g *guards) withdrawHedge(now int64) bool {
	if !g.hedges.Withdraw(now) {
		return false
	}
	if g.withdraw(now) {
		return true
	}
	g.hedges.Return(now)
	return false
}

// giveBackHedge takes back what withdrawHedge granted at then.
func (g *guards) giveBackHedge(then int64) {
	g.hedges.Return(then)
	g.giveBack(then)
}

// measure records the latency of an attempt.
func (g *guards) measure(t *try) {
	if g.latency == nil {
		return
	}
	switch {
	case t.err == nil:
		g.latency.Record(t.took)
	case refusedHere(t.err):
	case t.superseded(), status.Code(t.err) == codes.DeadlineExceeded:
		g.latency.RecordAtLeast(t.took)
	}
}

// fastest returns how long an attempt takes at the least, as far as that is known: the fastest tenth of those that were
// answered. One that has less time need not begin.
func (g *guards) fastest(now int64) time.Duration {
	if g.floor == nil {
		return 0
	}
	d, _ := g.floor.Delay(now)
	return d
}

// permits are what an attempt holds of the concurrency limits.
type permits struct {
	held  [maxScopes]bool
	since int64
}

// acquire waits for the permits of an attempt that begins at now, and enters them in p, which is zero.
func (g *guards) acquire(ctx context.Context, fullName string, now int64, p *permits) error {
	for i := range g.scopes {
		s := &g.scopes[i]
		if s.limit == nil {
			continue
		}
		err := s.limit.Acquire(ctx)
		if p.held[i] = err == nil; p.held[i] {
			continue
		}
		refused := &RefusedError{Method: fullName, Guard: GuardConcurrencyLimit, PerMethod: s.perMethod, Reason: err.Error()}
		ended := ctx.Err()
		if ended == nil || !errors.Is(err, ended) {
			if !g.refuses(ctx, refused, s.observeLimit) {
				continue
			}
			err = refused
		} else {
			err = unsent(ended)
		}
		g.release(p, limit.Ignored, now)
		*p = permits{}
		return err
	}
	p.since = now
	if g.queued {
		p.since = clock.Now() // a wait is no latency of the server
	}
	return nil
}

// release gives permits back at now.
func (g *guards) release(p *permits, outcome limit.Outcome, now int64) {
	for i := range p.held {
		if p.held[i] {
			g.scopes[i].limit.Release(now, time.Duration(now-p.since), outcome)
		}
	}
}

// limitOutcome tells an adaptive limit what to make of the end of an attempt.
func limitOutcome(ctx context.Context, err error) limit.Outcome {
	if err == nil {
		return limit.Success
	}
	switch code := status.Code(err); {
	case code == codes.Canceled, errors.Is(ctx.Err(), context.Canceled):
		return limit.Ignored
	case code == codes.DeadlineExceeded, code == codes.ResourceExhausted, code == codes.Unavailable:
		return limit.Dropped
	default:
		return limit.Success
	}
}
