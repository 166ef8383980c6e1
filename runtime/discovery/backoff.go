package discovery

import (
	"context"
	"math"
	"time"
)

// Pauses between two tries of a source that fails: exponential with jitter, in the form of gRPC's connection backoff
// (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md), faster at first and with a lower ceiling,
// since a registry that is back should be noticed soon.
const (
	backoffInitial = 200 * time.Millisecond
	backoffMax     = 30 * time.Second
	backoffFactor  = 1.6
	backoffJitter  = 0.2 // of the pause, to either side
)

// backoff is the pause after the given number of failures in a row, which counts from 1. random is in [0, 1).
func backoff(failures int, random float64) time.Duration {
	pause := float64(backoffInitial) * math.Pow(backoffFactor, float64(failures-1))
	pause = min(pause, float64(backoffMax))
	return time.Duration(pause * (1 + backoffJitter*(2*random-1)))
}

// pacing is how a resolver waits; tests replace both.
type pacing struct {
	random func() float64                                   // in [0, 1)
	sleep  func(ctx context.Context, d time.Duration) error // nil once d is over, the context's error if that ended first
}

// pause waits after the given number of failures in a row. It reports false when ctx ended.
func (p pacing) pause(ctx context.Context, failures int) bool {
	return p.sleep(ctx, backoff(failures, p.random())) == nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
