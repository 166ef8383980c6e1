package goresilient

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// CallError is the error of a call under policy that was attempted: what became of each attempt, and why there was no
// further one. errors.As reaches it, and through it the error of the last attempt; its gRPC status is that of Err.
type CallError struct {
	// Method is the RPC, e.g., "/acme.inventory.v1.InventoryService/GetItem".
	Method string
	// Attempts are those that failed, in the order in which they ended. There is at least one. Those of a stream may be one more
	// than policy allows: grpc repeats by itself, once, what a server says not to have begun with.
	Attempts []Attempt
	// Stopped is why no further attempt was made.
	Stopped StopReason
	// Err is what the call ended with: the error of an attempt, or the deadline that struck.
	Err error
}

// Attempt is one try of a call on one endpoint.
type Attempt struct {
	// Number counts the attempts of the call from 1, in the order in which they began.
	Number int
	// Hedge is whether it began while another one was under way.
	Hedge bool
	// Endpoint is where it went, e.g., "10.0.0.1:443"; "" if it got to none, and where nobody knows: over a connection of [WithConn],
	// and with pick_first and custom policies.
	Endpoint string
	// Code and Err are how it ended; OK and nil for success.
	Code codes.Code
	Err  error
	// Start is how long after the beginning of the call it began, Duration how long it took.
	Start, Duration time.Duration
}

// StopReason is why a call was not attempted again, in words, e.g., "the retry budget is used up".
type StopReason string

// The reasons.
const (
	// StoppedByCode is an error that another attempt would not change.
	StoppedByCode StopReason = "its code is not one to retry"
	// StoppedByPolicy is a method that does not retry.
	StoppedByPolicy StopReason = "the method does not retry"
	// StoppedByOption is [NoRetry].
	StoppedByOption StopReason = "NoRetry was given"
	// StoppedByAttempts is max_attempts.
	StoppedByAttempts StopReason = "max_attempts were made"
	// StoppedByBudget is the service's retry_budget.
	StoppedByBudget StopReason = "the retry budget is used up"
	// StoppedByDeadline is a deadline, of the caller or of policy, that another attempt could not meet.
	StoppedByDeadline StopReason = "another attempt could not end before the deadline"
	// StoppedByCommit is a stream that grpc is committed to (gRFC A6).
	StoppedByCommit StopReason = "grpc could not repeat the stream: the server had begun to answer, or there was too much to send again"
	// StoppedByServer is the trailer grpc-retry-pushback-ms (gRFC A6).
	StoppedByServer StopReason = "the server asked for no other attempt"
	// StoppedByCaller is a context that was cancelled.
	StoppedByCaller StopReason = "the caller gave up"
	// StoppedByClose is a client, or its channel, that was closed while the call waited for its next attempt.
	StoppedByClose StopReason = "the client was closed"
	// StoppedByNesting is retry.skip_nested: the caller is itself retrying.
	StoppedByNesting StopReason = "the call is part of one that is itself a retry"
	// StoppedByRefusal is a guard of this client that let an attempt not begin; errors.As reaches its [RefusedError].
	StoppedByRefusal StopReason = "a guard of this client refused an attempt"
)

// Error tells of the last error, and of each attempt if there were several.
func (e *CallError) Error() string {
	if len(e.Attempts) < 2 {
		return e.Err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v (%d attempts failed:", e.Err, len(e.Attempts))
	for i, a := range e.Attempts {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %v", a)
	}
	fmt.Fprintf(&b, "; %s)", e.Stopped)
	return b.String()
}

// String returns, e.g., "10.0.0.1:443 Unavailable after 3ms".
func (a Attempt) String() string {
	where := a.Endpoint
	if where == "" {
		where = "unknown endpoint"
	}
	if a.Hedge {
		where = "hedge " + where
	}
	return fmt.Sprintf("%s %v after %v", where, a.Code, a.Duration.Round(time.Microsecond))
}

// Unwrap returns Err.
func (e *CallError) Unwrap() error { return e.Err }

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *CallError) GRPCStatus() *status.Status { return status.Convert(e.Err) }
