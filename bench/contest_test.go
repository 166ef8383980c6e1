package bench_test

import (
	"math"
	"runtime"
	"slices"
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

	rounds [][]float64 // by contender: the nanoseconds of a call, one for each round
}

// newContest makes one round that does not count: it fills pools and caches.
func newContest(tb testing.TB, inFlight, batch int, contenders ...contender) *contest {
	c := &contest{contenders: contenders, batch: batch, rounds: make([][]float64, len(contenders))}
	for range inFlight {
		w := worker{batch: make(chan func() error), done: make(chan error)}
		c.workers = append(c.workers, w)
		go w.work(batch)
		tb.Cleanup(func() { close(w.batch) })
	}
	c.round(tb)
	clear(c.rounds)
	return c
}

// round gives each contender two batches, in an order that reads the same backwards, so that a machine that slows down
// steadily is no advantage to anybody. The order begins with another contender in each round.
func (c *contest) round(tb testing.TB) {
	n := len(c.contenders)
	took := make([]time.Duration, n)
	first := len(c.rounds[0])
	for turn := range 2 * n {
		i := (first + min(turn, 2*n-1-turn)) % n
		d, err := c.run(c.contenders[i].call)
		if err != nil {
			tb.Fatalf("%s: %v", c.contenders[i].name, err)
		}
		took[i] += d
	}
	for i, d := range took {
		c.rounds[i] = append(c.rounds[i], float64(d)/float64(2*c.batch*len(c.workers)))
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

// nanoseconds returns the median time of contender i's calls.
func (c *contest) nanoseconds(i int) float64 { return median(c.rounds[i]) }

// ratio returns the median, over the rounds, of contender i's time over the peer's.
func (c *contest) ratio(i int) float64 {
	return c.paired(func(ns, peer float64) float64 { return ns / peer }, i)
}

// added returns the median, over the rounds, of the nanoseconds that contender i takes beyond the peer.
func (c *contest) added(i int) float64 {
	return c.paired(func(ns, peer float64) float64 { return ns - peer }, i)
}

func (c *contest) paired(f func(ns, peer float64) float64, i int) float64 {
	values := make([]float64, len(c.rounds[i]))
	for r, ns := range c.rounds[i] {
		values[r] = f(ns, c.rounds[1][r])
	}
	return median(values)
}

// bench runs rounds for as long as the benchmark wants and reports each contender's time, in place of the time of a round.
func (c *contest) bench(b *testing.B) {
	for b.Loop() {
		c.round(b)
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range c.contenders {
		b.ReportMetric(c.nanoseconds(i), s.name+"-ns/op")
	}
	b.ReportMetric(c.ratio(0), "ratio")
	low, high := c.interval(0)
	b.ReportMetric(low, "ratio-low")
	b.ReportMetric(high, "ratio-high")
	for i, s := range c.contenders[2:] {
		b.ReportMetric(c.ratio(i+2), s.name+"-ratio")
	}
}

// interval returns the bounds between which the true median of contender i's ratio lies with 95 % confidence, whatever the
// distribution of the noise: two order statistics (Conover, Practical Nonparametric Statistics, 3.2).
func (c *contest) interval(i int) (low, high float64) {
	values := make([]float64, len(c.rounds[i]))
	for r, ns := range c.rounds[i] {
		values[r] = ns / c.rounds[1][r]
	}
	slices.Sort(values)
	n := float64(len(values))
	half := 1.96 * math.Sqrt(n) / 2
	return values[max(int(n/2-half), 0)], values[min(int(math.Ceil(n/2+half)), len(values)-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// allocations returns how many objects and bytes a call allocates, on average over many.
func allocations(tb testing.TB, s contender) (objects, bytes float64) {
	const calls = 1000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 10 {
		if err := s.call(); err != nil {
			tb.Fatalf("%s: %v", s.name, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := s.call(); err != nil {
			tb.Fatalf("%s: %v", s.name, err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls, float64(after.TotalAlloc-before.TotalAlloc) / calls
}
