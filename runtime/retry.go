package goresilient

import (
	"math/bits"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/backoff"
	"github.com/goresilient/goresilient/runtime/policy"
)

// retryPlan is policy.Retry, compiled.
type retryPlan struct {
	maxAttempts int
	backoff     backoff.Config
	codes       codeSet
	skipNested  bool
}

func newRetryPlan(r *policy.Retry) *retryPlan {
	if r == nil || policy.Value(r.Disabled) {
		return nil
	}
	return &retryPlan{
		maxAttempts: *r.MaxAttempts,
		backoff:     backoff.Config{Initial: *r.Backoff.Initial, Max: *r.Backoff.Max, Multiplier: *r.Backoff.Multiplier},
		codes:       codesOf(r.Codes),
		skipNested:  *r.SkipNested,
	}
}

// worth tells whether another attempt may do better than t. One that its own deadline ended is worth it: another endpoint
// may answer.
func (r *retryPlan) worth(t *try) bool {
	return r.codes.has(status.Code(t.err)) || t.outlived()
}

// outlived tells whether the attempt's own deadline ended it, while the call has time left.
func (t *try) outlived() bool { return t.struck && t.cause.Field == perAttemptField }

// outOfTime tells whether the call's own deadline ended the attempt.
func (t *try) outOfTime() bool { return t.struck && t.cause.Field != perAttemptField }

// perAttemptField is the policy field of an attempt's own deadline.
const perAttemptField = "timeout.per_attempt"

// hedgePlan is policy.Hedging, compiled.
type hedgePlan struct {
	maxAttempts int
	delay       time.Duration // 0: the quantile of the guards
	codes       codeSet       // that another endpoint may not share
	skipNested  bool
}

func newHedgePlan(h *policy.Hedging, r *retryPlan) *hedgePlan {
	if h == nil || policy.Value(h.Disabled) {
		return nil
	}
	p := &hedgePlan{maxAttempts: *h.MaxAttempts, delay: policy.Value(h.Delay), codes: codesOf([]codes.Code{codes.Unavailable})}
	if r != nil {
		p.codes, p.skipNested = r.codes, r.skipNested
	}
	return p
}

// tolerates tells whether the failure of one attempt leaves the others a chance.
func (h *hedgePlan) tolerates(t *try) bool {
	return h.codes.has(status.Code(t.err)) || t.outlived()
}

// maxAttempts returns how many attempts a call of the plan makes at most.
func (p *plan) maxAttempts() int {
	n := 1
	if p.retry != nil {
		n = p.retry.maxAttempts
	}
	if p.hedge != nil {
		n = max(n, p.hedge.maxAttempts)
	}
	return n
}

// codeSet is a set of gRPC codes.
type codeSet uint32

func codesOf(list []codes.Code) codeSet {
	var s codeSet
	for _, c := range list {
		s |= 1 << c
	}
	return s
}

// likeliest returns UNAVAILABLE if the set has it, or the least of its codes.
func (s codeSet) likeliest() codes.Code {
	if s == 0 || s.has(codes.Unavailable) {
		return codes.Unavailable
	}
	return codes.Code(bits.TrailingZeros32(uint32(s)))
}

func (s codeSet) has(c codes.Code) bool { return c < 32 && s&(1<<c) != 0 }
