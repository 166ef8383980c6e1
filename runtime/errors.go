package goresilient

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrClosed is why a client that was closed refuses a call, and why a wait for a client or a channel ends that is closed. The
// gRPC code is CANCELLED. So ends, too, a call that Close finds between two attempts. A call on an open client whose
// channel is closed, and one that Close finds in an attempt, end with grpc's own CANCELLED.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "goresilient: the client, or its channel, is closed" }

// GRPCStatus lets status.Code and status.FromError read the error.
func (e closedError) GRPCStatus() *status.Status { return status.New(codes.Canceled, e.Error()) }

// DeadlineError is a call that ended by the deadline of its policy, not by that of its caller. It is the cause of the
// context that interceptors and credentials see, and is reached by errors.As in the error of the call, whose code is
// DEADLINE_EXCEEDED.
type DeadlineError struct {
	// Method is the RPC, e.g., "/acme.inventory.v1.InventoryService/GetItem".
	Method string
	// Timeout is the time that the call, or its attempt, had.
	Timeout time.Duration
	// Field is the policy field that set it, e.g., "timeout.total"; "CallTimeout" if the caller passed that.
	Field string
	// Limit is what the field says. For "timeout.per_attempt" it may be more than Timeout: an attempt has a share of the time of a
	// call that has not enough for all.
	Limit time.Duration
	// Err is what grpc reported; nil where the error is the cause of a context.
	Err error
}

// Error names the deadline that struck.
func (e *DeadlineError) Error() string {
	s := fmt.Sprintf("goresilient: %s took longer than its %s of %v", e.Method, e.Field, e.Timeout)
	if e.Limit > e.Timeout {
		s = fmt.Sprintf("goresilient: an attempt at %s took longer than %v, its share of the time left (%s is %v)",
			e.Method, e.Timeout.Round(time.Microsecond), e.Field, e.Limit)
	}
	if e.Err != nil {
		s += ": " + status.Convert(e.Err).Message()
	}
	return s
}

// Unwrap returns what grpc reported.
func (e *DeadlineError) Unwrap() error { return e.Err }

// Is makes the error match [context.DeadlineExceeded].
func (e *DeadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *DeadlineError) GRPCStatus() *status.Status {
	return status.New(codes.DeadlineExceeded, e.Error())
}
