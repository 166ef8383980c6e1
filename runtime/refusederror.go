package goresilient

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Guard is a part of policy that refuses calls, by the name of its field, e.g., "circuit_breaker".
type Guard string

// The guards.
const (
	// GuardRateLimit is rate_limit. Its refusals are RESOURCE_EXHAUSTED.
	GuardRateLimit Guard = "rate_limit"
	// GuardAdaptiveThrottle is adaptive_throttle. Its refusals are UNAVAILABLE.
	GuardAdaptiveThrottle Guard = "adaptive_throttle"
	// GuardCircuitBreaker is circuit_breaker. Its refusals are UNAVAILABLE.
	GuardCircuitBreaker Guard = "circuit_breaker"
	// GuardConcurrencyLimit is concurrency_limit. Its refusals are RESOURCE_EXHAUSTED.
	GuardConcurrencyLimit Guard = "concurrency_limit"
)

// RefusedError is a call, or an attempt, that a guard of this client did not let begin: no server saw it. errors.As reaches it. If
// errors.As reaches a [CallError] as well, attempts before it may have been seen.
type RefusedError struct {
	// Method is the RPC, e.g., "/acme.inventory.v1.InventoryService/GetItem".
	Method string
	// Guard is what refused it.
	Guard Guard
	// PerMethod is whether it is the method's own guard, false for that of the service.
	PerMethod bool
	// RetryAfter is when a call may be let through again; 0 if that is not known. circuit_breaker and rate_limit know.
	RetryAfter time.Duration
	// Reason says more, where there is more to say, e.g., "the queue is full"; "" if not.
	Reason string
}

// Error names the guard.
func (e *RefusedError) Error() string {
	scope := "service"
	if e.PerMethod {
		scope = "method"
	}
	s := fmt.Sprintf("goresilient: %s was refused by the %s of the %s", e.Method, e.Guard, scope)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf("; try again in %v", e.RetryAfter.Round(time.Millisecond))
	}
	return s
}

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *RefusedError) GRPCStatus() *status.Status {
	code := codes.Unavailable
	if e.Guard == GuardRateLimit || e.Guard == GuardConcurrencyLimit {
		code = codes.ResourceExhausted
	}
	return status.New(code, e.Error())
}

// unsentError is the end of a context while an attempt waited to begin: a guard of this client kept it, and no server saw it.
type unsentError struct{ status *status.Status }

// unsent returns the error of an attempt whose context ended, as cause says, while it waited for a permit.
func unsent(cause error) error {
	s := status.FromContextError(cause)
	return &unsentError{status.Newf(s.Code(), "%v while the call waited for a permit of %s", cause, GuardConcurrencyLimit)}
}

func (e *unsentError) Error() string { return e.status.Err().Error() }

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *unsentError) GRPCStatus() *status.Status { return e.status }

// refusedHere tells whether a guard of this client kept the attempt from the servers.
func refusedHere(err error) bool {
	var refused *RefusedError
	var unsent *unsentError
	return errors.As(err, &refused) || errors.As(err, &unsent)
}
