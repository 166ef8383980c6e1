package goresilient_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// chaosPolicy is a policy drawn at random, with what it promises.
type chaosPolicy struct {
	service *policy.Service
	method  *policy.Method

	attempts     int // of a call, at most
	hedgeRatio   float64
	total        time.Duration // 0: none
	perAttempt   time.Duration // 0: none
	mayRefuse    map[goresilient.Guard]bool
	budgetOff    bool
	ratio, least float64 // of the budget
	window       time.Duration
}

// drawPolicy draws a policy. Times are short, so that much happens in a few seconds.
func drawPolicy(r *rand.Rand) *chaosPolicy {
	p := &chaosPolicy{service: &policy.Service{}, method: &policy.Method{}, attempts: 1, mayRefuse: make(map[goresilient.Guard]bool)}
	p.service.MethodDefaults = p.method
	p.service.Connection = &policy.Connection{
		ConnectBackoff:    &policy.Backoff{Initial: policy.Set(100 * ms), Max: policy.Set(time.Second)},
		MinConnectTimeout: policy.Set(500 * ms),
	}
	if odds(r, 2) {
		p.service.Connection.Keepalive = &policy.Keepalive{Time: policy.Set(10 * time.Second), Timeout: policy.Set(time.Second)}
	}
	p.service.LoadBalancing = drawBalancing(r)
	if odds(r, 2) {
		p.service.OutlierDetection = &policy.OutlierDetection{
			Interval: policy.Set(500 * ms), BaseEjectionTime: policy.Set(time.Second), MaxEjectionTime: policy.Set(3 * time.Second),
			MaxEjectedRatio: policy.Set(0.1 + 0.9*r.Float64()), ConsecutiveFailures: policy.Set(1 + r.IntN(4)),
		}
	}
	p.drawAttempts(r)
	p.drawGuards(r)
	if odds(r, 4) {
		p.method.WaitForReady = policy.Set(true)
	}
	return p
}

func drawBalancing(r *rand.Rand) *policy.LoadBalancing {
	lb := &policy.LoadBalancing{}
	switch r.IntN(7) {
	case 0:
		lb.PickFirst = &policy.PickFirst{Shuffle: policy.Set(true)}
	case 1:
		lb.RoundRobin = &policy.RoundRobin{}
	case 2:
		lb.WeightedRoundRobin = &policy.WeightedRoundRobin{}
	case 3:
		lb.LeastRequest = &policy.LeastRequest{}
	case 4:
		lb.PeakEwma = &policy.PeakEwma{}
	case 5:
		lb.ConsistentHash = &policy.ConsistentHash{}
	default:
		lb.Adaptive = &policy.Adaptive{}
	}
	if odds(r, 4) {
		lb.SlowStart = &policy.SlowStart{Window: policy.Set(2 * time.Second)}
	}
	return lb
}

// drawAttempts draws deadlines, retries, hedges and their budgets.
func (p *chaosPolicy) drawAttempts(r *rand.Rand) {
	p.method.Timeout, p.method.StreamTimeout = &policy.Timeout{}, &policy.StreamTimeout{}
	if odds(r, 2) {
		p.total = between(r, 50*ms, 2*time.Second)
		p.method.Timeout.Total, p.method.StreamTimeout.Total = &p.total, &p.total
	}
	if odds(r, 2) {
		p.perAttempt = between(r, 20*ms, time.Second)
		p.method.Timeout.PerAttempt = &p.perAttempt
	}
	if odds(r, 4) {
		p.method.StreamTimeout.Idle = policy.Set(between(r, 50*ms, time.Second))
	}
	if !odds(r, 3) {
		p.attempts = 2 + r.IntN(4)
		p.method.Retry = &policy.Retry{
			MaxAttempts: policy.Set(p.attempts),
			Backoff:     &policy.Backoff{Initial: policy.Set(between(r, ms, 50*ms)), Max: policy.Set(200 * ms)},
			Codes:       []codes.Code{codes.Unavailable, codes.ResourceExhausted}[:1+r.IntN(2)],
			SkipNested:  policy.Set(odds(r, 2)),
		}
	}
	if odds(r, 2) {
		hedges := 2 + r.IntN(4)
		p.attempts, p.hedgeRatio = max(p.attempts, hedges), 0.1+0.9*r.Float64()
		p.method.Hedging = &policy.Hedging{MaxAttempts: &hedges, Delay: policy.Set(between(r, ms, 200*ms)), MaxExtraRatio: &p.hedgeRatio}
	}
	if p.budgetOff = odds(r, 3); p.budgetOff {
		p.service.RetryBudget = &policy.RetryBudget{Disabled: policy.Set(true)}
		return
	}
	p.ratio, p.least, p.window = 0.1+0.9*r.Float64(), float64(r.IntN(3)), time.Duration(1+r.IntN(10))*time.Second
	p.service.RetryBudget = &policy.RetryBudget{Ratio: &p.ratio, MinPerSecond: &p.least, Window: &p.window}
}

// drawGuards draws what refuses calls.
func (p *chaosPolicy) drawGuards(r *rand.Rand) {
	on := func(guard goresilient.Guard, n int) (is bool, observe *bool) {
		if !odds(r, n) {
			return false, nil
		}
		observes := odds(r, 4)
		if !observes {
			p.mayRefuse[guard] = true
		}
		return true, &observes
	}
	for _, perMethod := range []bool{false, true} {
		if is, observe := on(goresilient.GuardCircuitBreaker, 3); is {
			cb := &policy.CircuitBreaker{
				Observe: observe, Window: policy.Set(2 * time.Second), MinimumCalls: policy.Set(1 + r.IntN(10)), FailureRatio: policy.Set(0.1 + 0.9*r.Float64()),
				OpenDuration: policy.Set(300 * ms), MaxOpenDuration: policy.Set(time.Second), HalfOpenCalls: policy.Set(1 + r.IntN(3)),
			}
			if odds(r, 3) {
				cb.SlowCallRatio, cb.SlowCallDuration = policy.Set(0.5), policy.Set(200*ms)
			}
			if perMethod {
				p.method.CircuitBreaker = cb
			} else {
				p.service.CircuitBreaker = cb
			}
		}
		if is, observe := on(goresilient.GuardConcurrencyLimit, 3); is {
			cl := &policy.ConcurrencyLimit{Observe: observe, MaxQueued: policy.Set(r.IntN(4)), MaxQueueTime: policy.Set(time.Duration(r.IntN(2)) * 100 * ms)}
			if odds(r, 2) {
				cl.MaxInFlight = policy.Set(1 + r.IntN(4))
			} else {
				cl.Adaptive = &policy.AdaptiveLimit{Min: policy.Set(1), Max: policy.Set(3)}
			}
			if perMethod {
				p.method.ConcurrencyLimit = cl
			} else {
				p.service.ConcurrencyLimit = cl
			}
		}
	}
	if is, observe := on(goresilient.GuardRateLimit, 5); is {
		p.service.RateLimit = &policy.RateLimit{Observe: observe, CallsPerSecond: policy.Set(5.0), Burst: policy.Set(5)}
	}
	if is, observe := on(goresilient.GuardAdaptiveThrottle, 4); is {
		p.service.AdaptiveThrottle = &policy.AdaptiveThrottle{Observe: observe, Window: policy.Set(time.Second)}
	}
}

// drawOverride draws a document that changes how the drawn policy is carried out, and nothing that it promises.
func (p *chaosPolicy) drawOverride(r *rand.Rand) []byte {
	var b strings.Builder
	b.WriteString("    policy:\n")
	fmt.Fprintf(&b, "      load_balancing: {%s: {}}\n", drawBalancing(r).Arm())
	if odds(r, 2) {
		fmt.Fprintf(&b, "      circuit_breaker: {disabled: true}\n")
	}
	if odds(r, 2) {
		fmt.Fprintf(&b, "      concurrency_limit: {disabled: true}\n")
	}
	fmt.Fprintf(&b, "      method_defaults: {max_response_bytes: %d", 1<<20+r.IntN(10))
	if p.method.Retry != nil && odds(r, 2) {
		fmt.Fprintf(&b, ", retry: {max_attempts: %d, disabled: %v}", 2+r.IntN(p.attempts-1), odds(r, 2))
	}
	if p.method.Hedging != nil && odds(r, 2) {
		fmt.Fprintf(&b, ", hedging: {disabled: true}")
	}
	b.WriteString("}\n")
	return override(b.String())
}

// odds is true once in n.
func odds(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
