package goresilient

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/budget"
	"github.com/goresilient/goresilient/runtime/internal/latency"
	"github.com/goresilient/goresilient/runtime/internal/ledger"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/internal/rate"
	"github.com/goresilient/goresilient/runtime/internal/schedule"
	"github.com/goresilient/goresilient/runtime/internal/throttle"
)

// guards are what the calls of a plan must pass, from the outside in, and what they report to. It is immutable; what it
// points to is shared with the plans before and after it, as long as policy leaves its parameters alone.
type guards struct {
	client *Client
	// Those of the method, and those of the service over all its methods. A call asks those of the method first.
	own, service scope
	throttle     *throttle.Throttle
	// observeThrottle is whether the throttle only counts what it would refuse.
	observeThrottle bool
	breakers        bool // some scope has a breaker
	limited         bool // some scope has a limit
	queued          bool // some limit lets attempts wait
	clocked         bool // something asks when a call ends
	// countedBy is the scope of which a permit counts the call that holds it, so that the client need not: while a call that
	// suits the plan makes its first attempt.
	countedBy scopeName

	budget   *budget.Budget     // nil for no bound on retries and hedges
	hedges   *budget.Budget     // nil without hedging
	latency  *latency.Histogram // nil if nobody asks for it
	quantile *latency.Cached    // of latency: the delay of hedges
	floor    *latency.Cached    // of latency: what an attempt needs at the least
	median   *latency.Cached    // of latency

	// ledger has the calls that went well at the first attempt, which other guards are told of together; nil if nobody is.
	ledger *ledger.Ledger
	// late is whether the budget counts a first attempt when it has ended rather than when it begins, so that the ledger can tell
	// it of many at once. Plans with a deadline or hedges count at the beginning: it costs little beside those.
	late bool
}

// scope is the guards of a method, or of a service over all its methods. nil is off.
type scope struct {
	perMethod bool
	queued    bool // attempts may wait for the limit
	// Those that count what they would refuse, and refuse nothing. The breaker knows of it itself.
	observeRate, observeLimit bool

	rate     *rate.Limiter
	breaker  *breaker.Breaker
	failures codeSet // of the breaker
	limit    *limit.Limiter
}

// any tells whether a guard of the scope is on.
func (s *scope) any() bool { return s.rate != nil || s.breaker != nil || s.limit != nil }

// admission is what the breakers let a call through with.
type admission struct {
	own, service breaker.Permit
}

// none tells whether there is nothing to pass.
func (g *guards) none() bool { return !g.own.any() && !g.service.any() && g.throttle == nil }

// admit lets a call through with a, which is zero, or says what refused it.
func (g *guards) admit(ctx context.Context, fullName string, now int64, a *admission) *RefusedError {
	if r := g.own.rate; r != nil && !r.Allow(now) {
		if refused := g.tooFast(ctx, fullName, now, &g.own); refused != nil {
			return refused
		}
	}
	if r := g.service.rate; r != nil && !r.Allow(now) {
		if refused := g.tooFast(ctx, fullName, now, &g.service); refused != nil {
			return refused
		}
	}
	if t := g.throttle; t != nil {
		if t.Stale(now) {
			g.flush(now)
		}
		if !t.Allow(now, g.client.random) {
			refused := &RefusedError{Method: fullName, Guard: GuardAdaptiveThrottle}
			if g.refuses(ctx, refused, g.observeThrottle) {
				return refused
			}
		}
	}
	if b := g.own.breaker; b != nil {
		var ok bool
		if a.own, ok = b.Allow(now); a.own == (breaker.Permit{}) {
			if refused := g.broken(ctx, fullName, now, &g.own, ok); refused != nil {
				return refused
			}
		}
	}
	if b := g.service.breaker; b != nil {
		var ok bool
		if a.service, ok = b.Allow(now); a.service == (breaker.Permit{}) {
			if refused := g.broken(ctx, fullName, now, &g.service, ok); refused != nil {
				g.abandon(a, now) // the probe that the other one may have given
				return refused
			}
		}
	}
	return nil
}

// tooFast is what comes of a call that is beyond the rate limit of s.
func (g *guards) tooFast(ctx context.Context, fullName string, now int64, s *scope) *RefusedError {
	refused := &RefusedError{Method: fullName, Guard: GuardRateLimit, PerMethod: s.perMethod, RetryAfter: s.rate.RetryAfter(now)}
	if !g.refuses(ctx, refused, s.observeRate) {
		return nil
	}
	return refused
}

// broken is what comes of a call that the breaker of s gave no permit; observed is whether it only observes.
func (g *guards) broken(ctx context.Context, fullName string, now int64, s *scope, observed bool) *RefusedError {
	refused := &RefusedError{Method: fullName, Guard: GuardCircuitBreaker, PerMethod: s.perMethod, RetryAfter: s.breaker.RetryAfter(now)}
	if !g.refuses(ctx, refused, observed) {
		return nil
	}
	return refused
}

// refuses tells the observer of a refusal. It returns false if nothing is refused, since the guard only observes.
func (g *guards) refuses(ctx context.Context, r *RefusedError, observed bool) bool {
	if o := g.client.observer; o != nil {
		o.Observe(ctx, &RefusalEvent{Refusal: r, Observed: observed})
	}
	return !observed
}

// first counts the first attempt of a call.
func (g *guards) first(began int64) {
	if g.budget != nil {
		g.budget.Deposit(began, 1)
	}
	if g.hedges != nil {
		g.hedges.Deposit(began, 1)
	}
}

// flush has the guards told of the calls that went well until now, by whichever plan they were made.
func (g *guards) flush(now int64) {
	g.client.ledgers.flush(now)
}

// withdraw asks for an attempt more.
func (g *guards) withdraw(now int64) bool {
	if g.budget == nil {
		return true
	}
	g.flush(now)
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

// ampleMedians: twice the median is enough time for most answers. It stays where it is while fewer than half of the endpoints hang,
// which a high quantile would not.
const ampleMedians = 2

// ample returns the time in which most attempts are answered; 0 if it is not known.
func (g *guards) ample(now int64) time.Duration {
	if g.median == nil {
		return 0
	}
	median, _ := g.median.Delay(now)
	return ampleMedians * median
}

// known returns what is known of how long attempts take.
func (g *guards) known(now int64) schedule.Latency {
	return schedule.Latency{Fastest: g.fastest(now), Ample: g.ample(now)}
}
