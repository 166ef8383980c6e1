package limit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// Any history of acquiring, cancelling, releasing and changing the limit does what a counter and a list do.
func TestAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, 999), 1, 80).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) { history(t, rt, seed) })
	})
}

type call struct {
	result <-chan error
	cancel context.CancelFunc
}

func history(t *testing.T, rt *rapid.T, steps []int) {
	cfg := Config{Max: 2, MaxQueued: 3}
	l := New(cfg)
	running := 0
	var queue []call
	ready := func(c call, want error) {
		synctest.Wait()
		select {
		case err := <-c.result:
			if !errors.Is(err, want) {
				rt.Errorf("a waiting call ended with %v, want %v", err, want)
			}
		default:
			rt.Errorf("a call still waits that should end with %v", want)
		}
		c.cancel()
	}
	admit := func() {
		for len(queue) > 0 && running < cfg.Max {
			ready(queue[0], nil)
			queue = queue[1:]
			running++
		}
	}
	for _, step := range steps {
		arg := step / 5
		switch step % 5 {
		case 0, 1:
			ctx, cancel := context.WithCancel(t.Context())
			c := call{waiting(ctx, l), cancel}
			switch {
			case running < cfg.Max && len(queue) == 0:
				ready(c, nil)
				running++
			case len(queue) < cfg.MaxQueued:
				queue = append(queue, c)
			default:
				ready(c, ErrFull)
			}
		case 2:
			if running > 0 {
				l.Release(0, 0, Outcome(arg%3), false)
				running--
				admit()
			}
		case 3:
			if len(queue) > 0 {
				i := arg % len(queue)
				queue[i].cancel()
				ready(queue[i], context.Canceled)
				queue = slices.Delete(queue, i, i+1)
			}
		case 4:
			cfg = Config{Max: 1 + arg%4, MaxQueued: arg % 5}
			l.Update(cfg)
			admit()
		}
		got, want := l.Counts(), Counts{Limit: cfg.Max, InFlight: running, Queued: len(queue)}
		if got.Refused = 0; got != want {
			rt.Errorf("counts %+v, model %+v", got, want)
		}
	}
	for _, c := range queue {
		c.cancel()
	}
	synctest.Wait()
}
