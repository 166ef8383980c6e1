package bench_test

import (
	"testing"
	"time"
)

// contender is one side of a comparison.
type contender struct {
	name string // of its metrics, e.g., "grpc"
	call func() error
}

// contest times contenders in turns, in short batches: whatever slows the machine slows each of them as much. The first
// contender is ours, the second its peer.
type contest struct {
	contenders []contender
	workers    []worker // that call at the same time
	batch      int      // calls of each of them before the next contender's turn

	times samples // the nanoseconds of a call
}

// newContest makes one round that does not count: it fills pools and caches.
func newContest(tb testing.TB, inFlight, batch int, contenders ...contender) *contest {
	c := &contest{contenders: contenders, batch: batch, times: make(samples, len(contenders))}
	for range inFlight {
		w := worker{batch: make(chan func() error), done: make(chan error)}
		c.workers = append(c.workers, w)
		go w.work(batch)
		tb.Cleanup(func() { close(w.batch) })
	}
	c.round(tb)
	clear(c.times)
	return c
}

// round gives each contender two batches, in an order that reads the same backwards, so that a machine that slows down
// steadily is no advantage to anybody. The order begins with another contender in each round.
func (c *contest) round(tb testing.TB) {
	n := len(c.contenders)
	took := make([]time.Duration, n)
	first := c.times.rounds()
	for turn := range 2 * n {
		i := (first + min(turn, 2*n-1-turn)) % n
		d, err := c.run(c.contenders[i].call)
		if err != nil {
			tb.Fatalf("%s: %v", c.contenders[i].name, err)
		}
		took[i] += d
	}
	for i, d := range took {
		c.times[i] = append(c.times[i], float64(d)/float64(2*c.batch*len(c.workers)))
	}
}

// run makes one batch of calls and returns how long it took.
func (c *contest) run(call func() error) (time.Duration, error) {
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

// bench runs rounds for as long as the benchmark wants and reports each contender's time, in place of the time of a round.
func (c *contest) bench(b *testing.B) {
	for b.Loop() {
		c.round(b)
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range c.contenders {
		b.ReportMetric(c.times.median(i), s.name+"-ns/op")
		if i > 1 {
			b.ReportMetric(c.times.ratio(i), s.name+"-ratio")
		}
	}
	b.ReportMetric(c.times.ratio(0), "ratio")
	low, high := c.times.interval(0)
	b.ReportMetric(low, "ratio-low")
	b.ReportMetric(high, "ratio-high")
}

// settle runs rounds until the ratio of ours is known to within the margin given, but no more than 8000.
func (c *contest) settle(tb testing.TB, margin float64) {
	const step, most = 500, 8000
	for c.times.rounds() < most {
		for range step {
			c.round(tb)
		}
		if low, high := c.times.interval(0); high-low <= 2*margin {
			return
		}
	}
}

// allocations returns how many objects a call allocates.
func allocations(tb testing.TB, s contender) float64 {
	var failed error
	n := testing.AllocsPerRun(1000, func() {
		if err := s.call(); err != nil {
			failed = err
		}
	})
	if failed != nil {
		tb.Fatalf("%s: %v", s.name, failed)
	}
	return n
}
