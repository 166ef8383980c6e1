// Package attempt has what the attempts of a call and the balancer tell each other, through the context of each attempt.
package attempt

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// Endpoint is where an attempt went. Two are the same if they compare equal.
type Endpoint interface {
	// ID returns the endpoint's identity, e.g., "10.0.0.1:443".
	ID() string
}

// Record is what one attempt and the balancer tell each other. The attempt makes it, and sets it up before the balancer can
// see it; the balancer finds it with [From]. Its methods may be called concurrently.
type Record struct {
	// Before is the record of the attempt of the same call that began before this one; nil for the first. Where several run at
	// a time, none of them knows of those after it.
	Before *Record
	// Stream is what a stream tells besides; nil for other calls.
	Stream *Stream
	// Channel is that of the call: whoever calls over another one under the context of an attempt has no part in its record. A record
	// without a channel is not in use.
	Channel *Channel

	hasKey     bool
	superseded atomic.Uint32 // how long it ran until then, in microseconds; 0: it was not
	key        uint64

	endpoint atomic.Value // an Endpoint, all of one type; nil before the first pick
	pushback atomic.Pointer[[]string]
	received atomic.Bool // what ended with an error ended with the server's
}

// SetKey gives the hash of the call's key.
func (r *Record) SetKey(key uint64) { r.key, r.hasKey = key, true }

// Key returns the hash of the call's key, false if it has none.
func (r *Record) Key() (uint64, bool) { return r.key, r.hasKey }

// HasTried tells whether an attempt of the call went anywhere.
func (r *Record) HasTried() bool { return r.Before != nil || r.endpoint.Load() != nil }

// Tried tells whether an attempt of the call went to e.
func (r *Record) Tried(e Endpoint) bool {
	for a := r; a != nil; a = a.Before {
		if a.endpoint.Load() == e || a.Stream != nil && a.Stream.tried(e) {
			return true
		}
	}
	return false
}

// Supersede is called before the attempt is cancelled because another one has ended the call. ran is how long it has run.
func (r *Record) Supersede(ran time.Duration) {
	r.superseded.Store(uint32(min(max(1, ran.Microseconds()), math.MaxUint32)))
}

// Superseded returns how long the attempt had run when another one ended the call, to a microsecond; 0 if none did.
func (r *Record) Superseded() time.Duration {
	return time.Duration(r.superseded.Load()) * time.Microsecond
}

// Begin is called by the balancer before it picks. Its error, a gRPC status, ends the attempt.
func (r *Record) Begin() error {
	if r.Stream == nil {
		return nil
	}
	return r.Stream.begin()
}

// Picked is called by the balancer with the endpoint that it picked.
func (r *Record) Picked(e Endpoint) {
	before := r.Endpoint()
	r.endpoint.Store(e)
	if r.Stream != nil {
		r.Stream.picked(before, e)
	}
}

// Missed is called by the balancer if the pick led nowhere: the endpoint had no connection any more, and another pick
// follows.
func (r *Record) Missed() {
	if r.Stream != nil {
		r.Stream.missed()
	}
}

// Ended is called by the balancer with how what it picked has ended, whether anything came from the server, and with what that said
// about further attempts.
func (r *Record) Ended(err error, received bool, pushback []string) {
	if err != nil {
		r.received.Store(received)
	}
	if len(pushback) > 0 {
		said := pushback // of its own, so that the usual case allocates nothing
		r.pushback.Store(&said)
	}
	if r.Stream != nil {
		r.Stream.ended(err)
	}
}

// Received tells whether anything came from the server of what ended last with an error.
func (r *Record) Received() bool { return r.received.Load() }

// Pushback returns what the server said about further attempts; nil if it said nothing.
func (r *Record) Pushback() []string {
	if p := r.pushback.Load(); p != nil {
		return *p
	}
	return nil
}

// Endpoint returns the endpoint that was picked last, nil if none was.
func (r *Record) Endpoint() Endpoint {
	e, _ := r.endpoint.Load().(Endpoint)
	return e
}

// Key is the key under which a context has its *Record.
type Key struct{}

// Channel is the identity of a channel.
type Channel struct{ _ byte }

// From returns the record of the attempt over a channel, nil for any, whose context ctx is, or descends from; nil if it has none.
func From(ctx context.Context, channel *Channel) *Record {
	if ctx == nil {
		return nil
	}
	r, _ := ctx.Value(Key{}).(*Record)
	if r == nil || channel != nil && r.Channel != channel {
		return nil
	}
	return r
}

// Apart returns ctx without the record that it may have from the attempt over the channel under which a call is made: a call that has
// no record of its own has none.
func Apart(ctx context.Context, channel *Channel) context.Context {
	if From(ctx, channel) == nil {
		return ctx
	}
	return context.WithValue(ctx, Key{}, (*Record)(nil))
}

// ErrRepeated is how a stream ended that grpc repeats: it failed, and nobody tells of what.
var ErrRepeated = errors.New("the stream failed and is repeated")
