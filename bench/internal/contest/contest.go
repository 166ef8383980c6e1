// Package contest measures contenders side by side: in turns, in short batches, in one process and the same seconds.
package contest

import (
	"testing"
	"time"
)

// Contender is one side of a comparison.
type Contender struct {
	Name string // of its metrics, e.g., "grpc"
	Call func() error
}

// Contest times contenders in turns, in short batches: whatever slows the machine slows each of them as much. The first
// contender is ours, the second its peer.
type Contest struct {
	// Times are the nanoseconds of a call.
	Times Samples

	contenders []Contender
	workers    []worker // that call at the same time
	batch      int      // calls of each of them before the next contender's turn
}

// New returns a contest that calls with inFlight goroutines, batch calls of each in a turn. It makes one round that does not
// count: it fills pools and caches.
func New(tb testing.TB, inFlight, batch int, contenders ...Contender) *Contest {
	c := &Contest{contenders: contenders, batch: batch, Times: make(Samples, len(contenders))}
	for range inFlight {
		w := worker{batch: make(chan func() error), done: make(chan error)}
		c.workers = append(c.workers, w)
		go w.work(batch)
		tb.Cleanup(func() { close(w.batch) })
	}
	c.Round(tb)
	clear(c.Times)
	return c
}

// Round gives each contender two batches, in an order that reads the same backwards, so that a machine that slows down
// steadily is no advantage to anybody. The order begins with another contender in each round.
func (c *Contest) Round(tb testing.TB) {
	n := len(c.contenders)
	took := make([]time.Duration, n)
	first := c.Times.Rounds()
	for turn := range 2 * n {
		i := (first + min(turn, 2*n-1-turn)) % n
		d, err := c.run(c.contenders[i].Call)
		if err != nil {
			tb.Fatalf("%s: %v", c.contenders[i].Name, err)
		}
		took[i] += d
	}
	for i, d := range took {
		c.Times[i] = append(c.Times[i], float64(d)/float64(2*c.batch*len(c.workers)))
	}
}

// run makes one batch of calls and returns how long it took.
func (c *Contest) run(call func() error) (time.Duration, error) {
	start := time.Now()
	for _, w := range c.workers {
		w.batch <- call
	}
	var failed error
	for _, w := range c.workers {
		if err := <-w.done; err != nil {
			failed = err
		}
	}
	return time.Since(start), failed
}

// worker is a goroutine that calls. It lives as long as the contest, so that its stack grows once and not in each batch.
type worker struct {
	batch chan func() error
	done  chan error
}

func (w worker) work(calls int) {
	for call := range w.batch {
		w.done <- repeat(call, calls)
	}
}

func repeat(call func() error, calls int) error {
	for range calls {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

// Bench runs rounds for as long as the benchmark wants and reports each contender's time, in place of the time of a round.
func (c *Contest) Bench(b *testing.B) {
	for b.Loop() {
		c.Round(b)
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range c.contenders {
		b.ReportMetric(c.Times.Median(i), s.Name+"-ns/op")
		if i > 1 {
			b.ReportMetric(Median(c.Times.Ratios(i, 1)), s.Name+"-ratio")
		}
	}
	ratios := c.Times.Ratios(0, 1)
	b.ReportMetric(Median(ratios), "ratio")
	low, high := Interval(ratios)
	b.ReportMetric(low, "ratio-low")
	b.ReportMetric(high, "ratio-high")
}

// Warm runs rounds that do not count: a process that has just begun runs slower, and not all of its code by as much.
func (c *Contest) Warm(tb testing.TB, rounds int) {
	for range rounds {
		c.Round(tb)
	}
	clear(c.Times)
}

// Settle runs rounds, step at a time, until what is asked is known to within the margin given, but no more than most.
func (c *Contest) Settle(tb testing.TB, step, most int, margin float64, asked func(Samples) []float64) {
	for c.Times.Rounds() < most {
		for range step {
			c.Round(tb)
		}
		if low, high := Interval(asked(c.Times)); high-low <= 2*margin {
			return
		}
	}
}

// Allocations returns how many objects a call allocates.
func Allocations(tb testing.TB, s Contender) float64 {
	var failed error
	n := testing.AllocsPerRun(1000, func() {
		if err := s.Call(); err != nil {
			failed = err
		}
	})
	if failed != nil {
		tb.Fatalf("%s: %v", s.Name, failed)
	}
	return n
}
