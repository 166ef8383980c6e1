package discovery

import (
	"context"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/backoff"
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

// pauseAfter is the pause after the given number of failures in a row, which counts from 1. random is in [0, 1).
func pauseAfter(failures int, random float64) time.Duration {
	c := backoff.Config{Initial: backoffInitial, Max: backoffMax, Multiplier: backoffFactor}
	return backoff.Jitter(c.Bound(failures), backoffJitter, random)
}

// pacing is how a resolver waits; tests replace both.
type pacing struct {
	random func() float64                                   // in [0, 1)
	sleep  func(ctx context.Context, d time.Duration) error // nil once d is over, the context's error if that ended first
}

// pause waits after the given number of failures in a row. It reports false when ctx ended.
func (p pacing) pause(ctx context.Context, failures int) bool {
	return p.sleep(ctx, pauseAfter(failures, p.random())) == nil
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
