package goresilient

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
)

// Observer is told what policy does to calls. Observe is called concurrently, on the goroutine of an attempt. It should return
// soon, and must not panic. It must not keep the context, which is that of the call; it may keep the event. Later versions may
// bring other types of events: ignore what you do not know.
//
//	func (o *logger) Observe(ctx context.Context, e goresilient.Event) {
//		switch e := e.(type) {
//		case *goresilient.AttemptEvent:
//			…
//		}
//	}
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// Event is one of the types of this package whose names end in Event. A call on a client that is closed has none.
type Event interface{ event() }

// CallEvent is a unary call, or a stream, that has ended.
type CallEvent struct {
	// Method is the RPC, e.g., "/acme.inventory.v1.InventoryService/GetItem".
	Method string
	// Attempts is how many were made; 0 if a guard refused the call. One of a unary call that a concurrency limit refused
	// counts. The tries that grpc makes of a stream over a connection of [WithConn] count as one.
	Attempts int
	// Code and Err are how the call ended; what a fallback made of it does not show here.
	Code codes.Code
	Err  error
	// Duration is how long it took.
	Duration time.Duration
}

// AttemptEvent is an attempt that has ended: of a unary call at once, of a stream when the stream has ended.
type AttemptEvent struct {
	// Method is the RPC.
	Method string
	// Attempt is what became of it.
	Attempt Attempt
	// Superseded is whether it was cancelled because another attempt had won.
	Superseded bool
}

// StopEvent is a call that failed and is not attempted again, although its method retries or hedges, or a hedge that was due
// and was not sent.
type StopEvent struct {
	// Method is the RPC.
	Method string
	// Reason is why.
	Reason StopReason
	// Hedge is whether a hedge was due; the call itself goes on.
	Hedge bool
}

// RefusalEvent is a call, or an attempt, that a guard refused, or would have refused.
type RefusalEvent struct {
	// Refusal is what the caller got, if it was refused.
	Refusal *RefusedError
	// Observed is whether the guard is in observe mode: nothing was refused.
	Observed bool
}

// BreakerEvent is a circuit breaker that has changed its state.
type BreakerEvent struct {
	// Service is the full name of the service, Method the RPC; "" for the breaker over all methods.
	Service, Method string
	// From and To are "closed", "open" or "half-open".
	From, To string
}

// FallbackEvent is a fallback that has run.
type FallbackEvent struct {
	// Method is the RPC.
	Method string
	// Cause is what the call ended with, and the fallback was given.
	Cause error
	// Err is what the fallback returned: nil where it had an answer.
	Err error
	// Duration is how long it took.
	Duration time.Duration
}

func (*CallEvent) event()     {}
func (*AttemptEvent) event()  {}
func (*StopEvent) event()     {}
func (*RefusalEvent) event()  {}
func (*BreakerEvent) event()  {}
func (*FallbackEvent) event() {}

// WithObserver has o told what policy does to the calls of the client. Several add up.
func WithObserver(o Observer) Option {
	return optionFunc(func(s *Settings) { s.observers = appendChecked(s, "WithObserver", s.observers, []Observer{o}) })
}

// observers tells several.
type observers []Observer

// Observe implements [Observer].
func (list observers) Observe(ctx context.Context, e Event) {
	for _, o := range list {
		o.Observe(ctx, e)
	}
}

// joinObservers returns what tells all of list, nil if there is none.
func joinObservers(list []Observer) Observer {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	default:
		return observers(list)
	}
}
