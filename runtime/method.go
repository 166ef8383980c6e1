package goresilient

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/policy"
)

// method is one RPC of a client. What stands in it is fixed; its plan changes with policy, and a call reads it once.
type method struct {
	client   *Client
	name     string // "GetItem"; "" for RPCs of other services
	fullName string // "/acme.inventory.v1.InventoryService/GetItem"
	rpc      policy.RPC
	fallback any // nil, or the function of UnaryOptions
	plan     atomic.Pointer[plan]
}

// plan is the policy of an RPC, compiled. It is immutable.
type plan struct {
	// total is the deadline of the call, 0 for none; struck is the error if that is what ends a call.
	total  time.Duration
	struck *DeadlineError
	// options go before those of the caller, which win. Its capacity is its length: it is shared by all calls.
	options []grpc.CallOption

	effective *policy.Method
	origins   policy.Origins
	withheld  []policy.Withheld
}

// compile makes the plan from the layers of the client.
func (m *method) compile(layers policy.Stack) {
	effective, origins, withheld := layers.Method(m.name, m.rpc)
	p := &plan{effective: policy.Complete(effective), origins: origins, withheld: withheld}
	field := "timeout.total"
	if m.rpc.Streaming() {
		field = "stream_timeout.total"
		if t := effective.StreamTimeout; t != nil {
			p.total = policy.Value(t.Total)
		}
	} else if t := effective.Timeout; t != nil {
		p.total = policy.Value(t.Total)
	}
	p.struck = &DeadlineError{Method: m.fullName, Timeout: p.total, Field: field}
	p.options = callOptions(effective, m.name != "")
	m.plan.Store(p)
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

// limit puts a call under its deadline: that of the caller's CallTimeout, or the policy's. It returns nil, and the call runs
// under ctx, if there is none or if the context's is earlier. The error is the call's if the deadline strikes.
func (p *plan) limit(ctx context.Context, fullName string, callers []grpc.CallOption) (*deadline.Context, *DeadlineError) {
	total, struck := p.total, p.struck
	for _, o := range callers {
		if t, ok := o.(callTimeout); ok {
			total, struck = t.timeout, nil
		}
	}
	if total <= 0 {
		return nil, nil
	}
	if d, ok := ctx.Deadline(); ok && time.Until(d) <= total {
		return nil, nil
	}
	switch {
	case struck == nil:
		struck = &DeadlineError{Method: fullName, Timeout: total, Field: "CallTimeout"}
	case struck.Method != fullName: // an RPC of another service
		struck = &DeadlineError{Method: fullName, Timeout: total, Field: struck.Field}
	}
	return deadline.New(ctx, total, struck), struck
}

// deadlineSlack is how much earlier than the client a server may see the deadline that both have.
const deadlineSlack = 10 * time.Millisecond

// told returns err, naming the policy's deadline if that is what ended the call.
func told(err error, limited *deadline.Context, cause *DeadlineError) error {
	if status.Code(err) != codes.DeadlineExceeded {
		return err
	}
	// The server has the same deadline, and its clock may strike first.
	if d, _ := limited.Deadline(); !limited.Expired() && time.Until(d) > deadlineSlack {
		return err
	}
	e := *cause
	e.Err = err
	return &e
}
