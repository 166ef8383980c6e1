package balancer

import (
	"math/rand/v2"
	"time"
)

// Timer is what [Options.AfterFunc] returns.
type Timer interface {
	// Stop keeps the function from being called, as [time.Timer.Stop] does.
	Stop() bool
}

// Options are what a [Channel] takes from its surroundings. The zero value is right outside of tests.
type Options struct {
	// Rand returns evenly distributed bits. It is called concurrently. Default: [rand.Uint64].
	Rand func() uint64
	// Now returns the time in nanoseconds since some moment; it never goes back. It is called concurrently. Default: the time
	// since the channel was made, by the monotonic clock.
	Now func() int64
	// AfterFunc calls f in a goroutine of its own after d. Default: [time.AfterFunc].
	AfterFunc func(d time.Duration, f func()) Timer
	// AnyRecords has the channel take the records of attempts over other channels for its own, as a simulation needs that picks in
	// their place.
	AnyRecords bool
}

func (o Options) withDefaults() Options {
	if o.Rand == nil {
		o.Rand = rand.Uint64
	}
	if o.Now == nil {
		origin := time.Now()
		o.Now = func() int64 { return int64(time.Since(origin)) }
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	return o
}
