package hedge_test

import (
	"slices"
	"sync"
	"time"
)

// result is what came of the calls of a client.
type result struct {
	mu      sync.Mutex      // guards what follows
	made    int             // calls
	extra   int             // attempts beyond the first of each call
	calls   []outcome       // those after the warm-up
	batches []time.Duration // how long each took
	err     error           // of a call that failed, nil if none did
}

// outcome is what came of a call.
type outcome struct {
	start time.Time
	took  time.Duration
	delay time.Duration // after which it was hedged; 0 if it was not
	first time.Duration // that its first attempt would have taken; 0 if that is unknown
}

// add counts a call, and records it unless it is part of the warm-up.
func (r *result) add(c *call, took time.Duration, err error, recorded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	r.extra += int(c.attempts.Load()) - 1
	if recorded {
		r.calls = append(r.calls, outcome{c.start, took, time.Duration(c.hedged.Load()), time.Duration(c.first.Load())})
	}
	if err != nil {
		r.err = err
	}
}

func (r *result) addBatch(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, took)
}

// load returns extra attempts to first ones, the warm-up included.
func (r *result) load() float64 { return float64(r.extra) / float64(r.made) }

// took returns how long the calls took, sorted.
func (r *result) took() []time.Duration {
	return times(r.calls, func(o outcome) time.Duration { return o.took })
}

// delays returns after which time those calls were hedged that were, sorted.
func delays(calls []outcome) []time.Duration {
	return times(calls, func(o outcome) time.Duration { return o.delay })
}

// times returns a time of each call that has it, sorted.
func times(calls []outcome, of func(outcome) time.Duration) []time.Duration {
	var out []time.Duration
	for _, o := range calls {
		if d := of(o); d > 0 {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return out
}

// quantile returns what a share q of sorted times does not exceed, 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// wholes returns how long the batches took, sorted.
func (r *result) wholes() []time.Duration {
	slices.Sort(r.batches)
	return r.batches
}

// between returns the calls that began at from or later, and before to.
func between(calls []outcome, from, to time.Time) []outcome {
	var out []outcome
	for _, o := range calls {
		if !o.start.Before(from) && o.start.Before(to) {
			out = append(out, o)
		}
	}
	return out
}
