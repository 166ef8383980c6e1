package goresilient

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/schedule"
	"github.com/goresilient/goresilient/runtime/policy"
)

// method is one RPC of a client. What stands in it is fixed; its plan changes with policy, and a call reads it once.
type method struct {
	client   *Client
	name     string // "GetItem"; "" for RPCs of other services
	fullName string // "/acme.inventory.v1.InventoryService/GetItem"
	rpc      policy.RPC
	fallback any // nil, or the function of UnaryOptions
	guards   guardSet
	plan     atomic.Pointer[plan]
	kind     atomic.Pointer[replyType] // see kindOf
}

// plan is the policy of an RPC, compiled. It is immutable, but for the state of its guards.
type plan struct {
	// bare is whether a call without options of its caller's is grpc's alone.
	bare bool
	// direct is whether a call without options of its caller's may take the short way; see [plan.suits].
	direct bool
	// listens is whether nothing but the first attempt's trailer tells what the server says about further ones.
	listens bool
	// repeats is whether a call may have several attempts.
	repeats bool
	// total is the deadline of the call, 0 for none; struck is the error if that is what ends a call.
	total  time.Duration
	struck *DeadlineError
	// perAttempt is the deadline of an attempt, 0 for none; struckAttempt is the error if that is what ends one.
	perAttempt    time.Duration
	struckAttempt *DeadlineError
	// idle is the longest time between two messages of a stream, 0 for none; struckIdle is the error if it passes.
	idle       time.Duration
	struckIdle *DeadlineError
	// first is the deadline of the first attempt, unless the caller's is earlier.
	first allowance
	// shared is whether first is less than perAttempt, so that there may be further attempts: as long as nobody knows how long
	// answers take.
	shared bool
	// schedule divides the time of the call over its attempts.
	schedule schedule.Plan
	retry    *retryPlan // nil if off
	hedge    *hedgePlan // nil if off
	guards   guards
	// invoker is what the innermost attempt interceptor calls.
	invoker grpc.UnaryInvoker
	// options go before those of the caller, which win. Its capacity is its length: it is shared by all calls.
	options []grpc.CallOption

	effective *policy.Method
	origins   policy.Origins
	withheld  []policy.Withheld
}

// compile makes the plan from the layers of the client and the guards of its service. It is not yet in force.
func (m *method) compile(layers policy.Stack, service serviceGuards) *plan {
	effective, origins, withheld := layers.Method(m.name, m.rpc)
	if m.client.channel != nil && m.client.channel.xds.Load() && effective.Retry != nil && !m.rpc.Streaming() {
		// Three attempts of ours over three of grpc's would be nine.
		effective.Retry = nil
		withheld = append(withheld, policy.Withheld{Feature: "retry", Reason: "an xds target's control plane configures retries"})
	}
	if reason := m.unrepeatable(); reason != "" && effective.Retry != nil && !policy.Value(effective.Retry.Disabled) {
		effective.Retry = nil
		withheld = append(withheld, policy.Withheld{Feature: "retry", Reason: reason})
	}
	complete := policy.Complete(effective)
	p := &plan{effective: complete, origins: origins, withheld: withheld}
	if m.rpc.Streaming() {
		p.compileStreamTimeout(m, complete.StreamTimeout)
	} else {
		p.compileTimeout(m, complete.Timeout)
	}
	p.retry = newRetryPlan(complete.Retry)
	p.hedge = newHedgePlan(complete.Hedging, p.retry)
	p.schedule.PerAttempt = p.perAttempt
	if p.retry != nil {
		p.schedule.MaxAttempts, p.schedule.Backoff = p.retry.maxAttempts, p.retry.backoff
	}
	p.repeats = !m.rpc.Streaming() && (p.retry != nil || p.hedge != nil)
	p.guards = m.guards.followMethod(m, complete, service)
	p.guards.clocked = p.guards.limited || p.guards.breakers || p.guards.throttle != nil || p.guards.latency != nil
	p.options = callOptions(effective, m.name != "")
	p.invoker = m.client.invoke
	if p.guards.limited {
		p.invoker = p.permitted
	}
	p.bare = p.total == 0 && p.perAttempt == 0 && !p.repeats && p.guards.none() &&
		m.client.attemptUnary == nil && m.client.observer == nil
	p.direct = !p.bare && m.name != "" && !m.rpc.Streaming() && m.client.attemptUnary == nil && m.client.observer == nil
	p.compileFirst()
	p.listens = p.direct && p.repeats && p.first.timeout == 0 && p.hedge == nil && m.client.channel == nil
	return p
}

// allowance is the time that an attempt has, and the error if it ends it; 0 for as long as the caller's context lives.
type allowance struct {
	timeout time.Duration
	struck  *DeadlineError
}

// unrepeatable tells why a stream is not retried, whatever policy says; "" if it may be. grpc repeats streams, and asks the balancing
// policy each time, which asks the stream.
func (m *method) unrepeatable() string {
	switch {
	case !m.rpc.Streaming():
		return ""
	case m.client.channel == nil:
		return "grpc retries streams as the service config of the connection says; there is no channel of this package with WithConn"
	case m.client.channel.delegates.Load():
		return "pick_first and custom policies do not ask whether a stream may be tried again"
	default:
		return ""
	}
}

func (p *plan) compileFirst() {
	p.first = p.allow(schedule.Latency{})
	p.shared = p.first.timeout < p.perAttempt && p.first.timeout < p.total
}

// allow returns what the first attempt has, unless the caller's deadline is earlier.
func (p *plan) allow(known schedule.Latency) (a allowance) {
	left := schedule.Unlimited
	if p.total > 0 {
		left, a = p.total, allowance{p.total, p.struck}
	}
	if p.perAttempt > 0 {
		if own, _ := p.schedule.Timeout(1, left, known); own < left {
			a = allowance{own, p.struckAttempt}
		}
	}
	return a
}

// allowFirst is allow with what is known at now.
func (p *plan) allowFirst(now int64) allowance {
	if !p.shared || p.guards.ample(now) <= p.first.timeout {
		return p.first
	}
	return p.allow(p.guards.known(now))
}

func (p *plan) compileTimeout(m *method, t *policy.Timeout) {
	p.struck = &DeadlineError{Method: m.fullName, Field: "timeout.total"}
	if t == nil {
		return
	}
	p.total, p.perAttempt = policy.Value(t.Total), policy.Value(t.PerAttempt)
	p.struck.Timeout, p.struck.Limit = p.total, p.total
	p.struckAttempt = &DeadlineError{Method: m.fullName, Timeout: p.perAttempt, Limit: p.perAttempt, Field: perAttemptField}
}

func (p *plan) compileStreamTimeout(m *method, t *policy.StreamTimeout) {
	p.struck = &DeadlineError{Method: m.fullName, Field: "stream_timeout.total"}
	if t == nil {
		return
	}
	p.total, p.idle = policy.Value(t.Total), policy.Value(t.Idle)
	p.struck.Timeout, p.struck.Limit = p.total, p.total
	p.struckIdle = &DeadlineError{Method: m.fullName, Timeout: p.idle, Limit: p.idle, Field: "stream_timeout.idle"}
}

// callOptions turns policy into options of grpc. A generated RPC's name is static, which grpc's metrics want to know.
func callOptions(p *policy.Method, generated bool) []grpc.CallOption {
	var opts []grpc.CallOption
	if generated {
		opts = append(opts, grpc.StaticMethod())
	}
	if p.WaitForReady != nil {
		opts = append(opts, grpc.WaitForReady(*p.WaitForReady))
	}
	if c := policy.Value(p.Compressor); c != "" && c != encoding.Identity {
		opts = append(opts, grpc.UseCompressor(c))
	}
	if p.MaxRequestBytes != nil {
		opts = append(opts, grpc.MaxCallSendMsgSize(*p.MaxRequestBytes))
	}
	if p.MaxResponseBytes != nil {
		opts = append(opts, grpc.MaxCallRecvMsgSize(*p.MaxResponseBytes))
	}
	return opts[:len(opts):len(opts)]
}

// with returns the plan's options and the caller's. It allocates only if both have some.
func (p *plan) with(callers []grpc.CallOption) []grpc.CallOption {
	switch {
	case len(callers) == 0:
		return p.options
	case len(p.options) == 0:
		return callers
	}
	all := make([]grpc.CallOption, 0, len(p.options)+len(callers))
	return append(append(all, p.options...), callers...)
}

// told returns err, naming the policy's deadline if that is what ended the call: cause, which struck after within.
func told(err error, limited *deadline.Context, cause *DeadlineError, within time.Duration) (named error, struck bool) {
	if status.Code(err) != codes.DeadlineExceeded {
		return err, false
	}
	if !limited.Expired() && !deadline.Over(limited, within) {
		return err, false
	}
	e := *cause
	if e.Err = err; e.Field == perAttemptField {
		e.Timeout = within // a share of what policy allows, where the call has less time
	}
	return &e, true
}
