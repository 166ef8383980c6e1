package goresilient

import (
	"math"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/budget"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/latency"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/internal/rate"
	"github.com/goresilient/goresilient/runtime/internal/throttle"
	"github.com/goresilient/goresilient/runtime/policy"
)

// keeper keeps a guard, with all that it has learned, as long as policy asks for the same one.
type keeper[C comparable, G any] struct {
	config C
	guard  *G // nil while it is off
}

// follow returns the guard of config, nil if it is off.
func (k *keeper[C, G]) follow(on bool, config C, build func(C) *G) *G {
	switch {
	case !on:
		k.guard = nil
	case k.guard == nil || k.config != config:
		k.config, k.guard = config, build(config)
	}
	return k.guard
}

// guardSet keeps the guards of a service, or of a method. The lock of the client guards it.
type guardSet struct {
	rate    *rate.Limiter
	breaker keeper[breaker.Config, breaker.Breaker]
	limit   *limit.Limiter // stays when it is off: calls may still be counted by it

	throttle keeper[throttle.Config, throttle.Throttle] // of a service alone
	budget   keeper[budget.Config, budget.Budget]       // likewise
	hedges   keeper[budget.Config, budget.Budget]       // of a method alone
	latency  *latency.Histogram                         // of a method that retries or hedges
	quantile keeper[float64, latency.Cached]            // of latency; of a method that hedges
	floor    keeper[float64, latency.Cached]            // of latency
	median   keeper[float64, latency.Cached]            // of latency
}

// serviceGuards is what the plans of all methods share.
type serviceGuards struct {
	scope           scope
	throttle        *throttle.Throttle
	observeThrottle bool
	budget          *budget.Budget
}

// hedgeWindow is over how long the extra load of hedges is bounded. With the default cap of 5 %, of which 1.5 % are not
// used at ordinary times (see hedgeQuantile), all calls of a stall of 300 ms can be hedged, and of half as long again.
const hedgeWindow = 30 * time.Second

// hedgeQuantile returns the quantile of latency after which a call is hedged: that of policy, but at least so high that
// ordinary calls use up plannedHedges of the cap. The rest is for the moments when servers stall.
func hedgeQuantile(q, extra float64) float64 { return max(q, 1-plannedHedges*extra) }

// plannedHedges is the share of the cap that hedges of ordinary calls use up. With the default cap it is 3.5 % of calls: enough for
// one in 20 servers, or two that get half of the calls of others, to be slow always. What is left outlasts a stall; see hedgeWindow.
const plannedHedges = 0.7

// fastTenth is the quantile of latency that an attempt needs at the least.
const fastTenth = 0.1

// followService returns the guards of a service, whose policy is complete.
func (g *guardSet) followService(c *Client, p *policy.Service) serviceGuards {
	out := serviceGuards{scope: g.scope(c, "", p.CircuitBreaker, p.ConcurrencyLimit, p.RateLimit)}
	if t := p.AdaptiveThrottle; t != nil && !*t.Disabled {
		out.throttle = g.throttle.follow(true, throttle.Config{K: *t.K, Window: *t.Window, Observe: *t.Observe}, throttle.New)
		out.observeThrottle = *t.Observe
	} else {
		g.throttle.guard = nil
	}
	b := p.RetryBudget
	on := !*b.Disabled
	out.budget = g.budget.follow(on, budget.Config{Ratio: *b.Ratio, MinPerSecond: *b.MinPerSecond, Window: *b.Window}, budget.New)
	return out
}

// followMethod returns the guards of a method, whose policy is complete, and those of its service.
func (g *guardSet) followMethod(m *method, p *policy.Method, service serviceGuards) guards {
	out := guards{client: m.client, throttle: service.throttle, observeThrottle: service.observeThrottle, budget: service.budget}
	out.own, out.service = g.scope(m.client, m.fullName, p.CircuitBreaker, p.ConcurrencyLimit, p.RateLimit), service.scope
	out.own.perMethod = true
	out.breakers = out.own.breaker != nil || out.service.breaker != nil
	out.limited = out.own.limit != nil || out.service.limit != nil
	out.queued = out.own.queued || out.service.queued
	retries, hedges := p.Retry != nil && !*p.Retry.Disabled, p.Hedging != nil && !*p.Hedging.Disabled
	if !retries && !hedges {
		out.budget, g.latency, g.floor.guard, g.median.guard, g.quantile.guard = nil, nil, nil, nil, nil
	} else if g.latency == nil {
		g.latency = new(latency.Histogram)
	}
	out.latency = g.latency
	cached := func(q float64) *latency.Cached { return latency.NewCached(out.latency, q) }
	if out.latency != nil {
		out.floor, out.median = g.floor.follow(true, fastTenth, cached), g.median.follow(true, 0.5, cached)
	}
	switch {
	case hedges || out.queued: // a hedged call may hold several permits, and one that waits holds none
	case out.own.limit != nil && !out.own.observeLimit:
		out.countedBy = ownScope
	case out.service.limit != nil && !out.service.observeLimit:
		out.countedBy = serviceScope
	}
	if !hedges {
		g.hedges.guard, g.quantile.guard = nil, nil
		return out
	}
	h := p.Hedging
	out.hedges = g.hedges.follow(true, budget.Config{Ratio: *h.MaxExtraRatio, Window: hedgeWindow}, budget.New)
	if h.DelayQuantile != nil {
		out.quantile = g.quantile.follow(true, hedgeQuantile(*h.DelayQuantile, *h.MaxExtraRatio), cached)
	}
	return out
}

// scope returns the guards that a service and a method may both have.
func (g *guardSet) scope(c *Client, method string, cb *policy.CircuitBreaker, cl *policy.ConcurrencyLimit, rl *policy.RateLimit) scope {
	var s scope
	if cb != nil && !*cb.Disabled {
		s.breaker = g.breaker.follow(true, breakerConfig(cb), func(cfg breaker.Config) *breaker.Breaker {
			return breaker.New(cfg, c.breakerChanged(method))
		})
		s.failures = codesOf(cb.Codes)
	} else {
		g.breaker.guard = nil
	}
	if cl != nil && !*cl.Disabled {
		if cfg := limitConfig(cl); g.limit == nil {
			g.limit = limit.New(cfg)
		} else {
			g.limit.Update(cfg)
		}
		s.limit, s.observeLimit, s.queued = g.limit, *cl.Observe, *cl.MaxQueued > 0
	} else if g.limit != nil { // of calls that still wait for it
		g.limit.Update(limit.Config{Max: math.MaxInt})
	}
	if rl != nil && !*rl.Disabled {
		if cfg := (rate.Config{PerSecond: *rl.CallsPerSecond, Burst: *rl.Burst}); g.rate == nil {
			g.rate = rate.New(cfg)
		} else {
			g.rate.Update(clock.Now(), cfg)
		}
		s.rate, s.observeRate = g.rate, *rl.Observe
	} else {
		g.rate = nil
	}
	return s
}

func breakerConfig(cb *policy.CircuitBreaker) breaker.Config {
	return breaker.Config{
		Window:           *cb.Window,
		MinimumCalls:     *cb.MinimumCalls,
		FailureRatio:     *cb.FailureRatio,
		SlowCallRatio:    *cb.SlowCallRatio,
		SlowCallDuration: policy.Value(cb.SlowCallDuration),
		OpenDuration:     *cb.OpenDuration,
		MaxOpenDuration:  *cb.MaxOpenDuration,
		HalfOpenCalls:    *cb.HalfOpenCalls,
		Observe:          *cb.Observe,
	}
}

func limitConfig(cl *policy.ConcurrencyLimit) limit.Config {
	cfg := limit.Config{Max: policy.Value(cl.MaxInFlight), MaxQueued: *cl.MaxQueued, MaxQueueTime: *cl.MaxQueueTime, Observe: *cl.Observe}
	if a := cl.Adaptive; a != nil {
		cfg.Adaptive, cfg.AdaptiveMin, cfg.AdaptiveMax = true, *a.Min, *a.Max
	}
	return cfg
}

// breakerChanged returns what tells the observer of a breaker; nil if there is none.
func (c *Client) breakerChanged(method string) func(from, to breaker.State) {
	if c.observer == nil {
		return nil
	}
	return func(from, to breaker.State) {
		c.observer.Observe(c.background, &BreakerEvent{Service: c.desc.Name, Method: method, From: from.String(), To: to.String()})
	}
}
