package latency

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = int64(time.Second)

// sample is one attempt of the naive model.
type sample struct {
	d        time.Duration
	censored bool
}

// quantile is the product-limit estimate over a sorted list.
func quantile(samples []sample, q float64) time.Duration {
	longer := 1.0
	for i, s := range samples {
		if s.censored {
			continue
		}
		left := float64(len(samples) - i)
		if longer *= (left - 1) / left; longer <= 1-q+rounding {
			return s.d
		}
	}
	return samples[len(samples)-1].d
}

func TestQuantileAgainstProductLimit(t *testing.T) {
	durations := rapid.Custom(func(t *rapid.T) sample {
		// On a grid of buckets, so that the order of the samples is that of their buckets.
		octave, bucket := rapid.IntRange(0, octaves-1).Draw(t, "octave"), rapid.IntRange(0, perOctave-1).Draw(t, "bucket")
		return sample{middleOf(octave, bucket), rapid.IntRange(0, 2).Draw(t, "censored") == 0}
	})
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(durations, 1, 200).Draw(t, "samples")
		q := rapid.Float64Range(0.01, 0.99).Draw(t, "q")
		h := new(Histogram)
		for _, s := range samples {
			if s.censored {
				h.RecordAtLeast(s.d)
			} else {
				h.Record(s.d)
			}
		}
		// Of equal durations, the answered ones come first.
		slices.SortStableFunc(samples, func(a, b sample) int {
			if c := cmp.Compare(a.d, b.d); c != 0 {
				return c
			}
			return map[bool]int{false: 0, true: 1}[a.censored] - map[bool]int{false: 0, true: 1}[b.censored]
		})
		got, n := h.Quantile(1, q)
		if want := quantile(samples, q); got != want || n != uint64(len(samples)) {
			t.Fatalf("quantile %v of %d: got %v of %d, want %v", q, len(samples), got, n, want)
		}
	})
}

func TestQuantileOfWholeSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := rapid.SliceOfN(rapid.Int64Range(1000, int64(time.Hour)), 1, 300).Draw(t, "durations")
		q := rapid.Float64Range(0.01, 0.99).Draw(t, "q")
		h := new(Histogram)
		for _, d := range ds {
			h.Record(time.Duration(d))
		}
		slices.Sort(ds)
		want := float64(ds[int(math.Ceil(q*float64(len(ds))-1e-6))-1])
		got, _ := h.Quantile(1, q)
		if off := math.Abs(float64(got)-want) / want; off > 0.016 {
			t.Fatalf("quantile %v: got %v, want %v: %.2f %% off", q, got, time.Duration(want), 100*off)
		}
	})
}

func TestQuantileWithoutAnswers(t *testing.T) {
	h := new(Histogram)
	if d, n := h.Quantile(0, 0.95); d != 0 || n != 0 {
		t.Errorf("without samples: %v of %d", d, n)
	}
	for range 10 {
		h.RecordAtLeast(middleOf(20, 3))
	}
	if d, n := h.Quantile(second, 0.95); d != middleOf(20, 3) || n != 10 {
		t.Errorf("given up all after %v: %v of %d", middleOf(20, 3), d, n)
	}
}

func TestThePastFades(t *testing.T) {
	tests := []struct {
		name    string
		before  int
		after   time.Duration
		samples uint64
	}{
		{"half after a second", 10_000, time.Second, 5000},
		{"a sixteenth after four", 16_000, 4 * time.Second, 1000},
		{"the last stay", 10_000, time.Hour, keep},
		{"a few stay", 120, time.Hour, 120},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := new(Histogram)
			for i := range tt.before {
				if i%10 == 0 {
					h.RecordAtLeast(time.Second)
				} else {
					h.Record(time.Second)
				}
			}
			h.Quantile(second, 0.5)
			if _, n := h.Quantile(second+int64(tt.after), 0.5); n != tt.samples {
				t.Errorf("%d samples of %d left after %v, want %d", n, tt.before, tt.after, tt.samples)
			}
		})
	}
}

// logNormal draws a latency: the median and the ratio of the 84th percentile to it.
func logNormal(random *rand.Rand, median time.Duration, spread float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(math.Log(spread)*random.NormFloat64()))
}

// normal95 is the 95th percentile of the standard normal distribution.
const normal95 = 1.6449

// The quantile finds a new level within a few seconds of traffic, upwards and downwards.
func TestQuantileFollows(t *testing.T) {
	tests := []struct {
		name   string
		factor float64
		rate   int64 // calls a second
		within time.Duration
		near   float64 // share by which it may be off then
	}{
		{"doubling at 1000 calls a second", 2, 1000, 4 * time.Second, 0.1},
		{"halving at 1000 calls a second", 0.5, 1000, 6 * time.Second, 0.1},
		{"doubling at 50 calls a second", 2, 50, 20 * time.Second, 0.25},
		{"halving at 50 calls a second", 0.5, 50, 40 * time.Second, 0.25},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 4))
			h := new(Histogram)
			delay := NewCached(h, 0.95)
			now, before := second, 10*time.Millisecond
			run := func(median time.Duration, during time.Duration) time.Duration {
				for end := now + int64(during); now < end; now += second / tt.rate {
					h.Record(logNormal(random, median, 1.5))
					delay.Delay(now)
				}
				d, _ := delay.Delay(now)
				return d
			}
			p95 := func(median time.Duration) float64 { return float64(median) * math.Pow(1.5, normal95) }
			if got, want := run(before, time.Minute), p95(before); math.Abs(float64(got)-want)/want > tt.near {
				t.Fatalf("p95 %v before, want %v", got, time.Duration(want))
			}
			after := time.Duration(float64(before) * tt.factor)
			if got, want := run(after, tt.within), p95(after); math.Abs(float64(got)-want)/want > tt.near {
				t.Errorf("p95 %v after %v, want %v", got, tt.within, time.Duration(want))
			}
		})
	}
}

func TestDelayWaitsForSamples(t *testing.T) {
	h := new(Histogram)
	c := NewCached(h, 0.95)
	now := second
	for i := range Enough - 1 {
		h.Record(time.Duration(i) * time.Millisecond)
		now += int64(refresh)
		if d, ok := c.Delay(now); ok {
			t.Fatalf("%v of %d samples", d, i+1)
		}
	}
	h.Record(time.Second)
	if _, ok := c.Delay(now); ok {
		t.Fatal("computed twice at one time")
	}
	d, ok := c.Delay(now + int64(refresh))
	if want, _ := h.Quantile(now+int64(refresh), 0.95); !ok || d != want {
		t.Errorf("got %v, %v, want %v", d, ok, want)
	}
}

func TestDelayGoesOnWhileAnotherComputes(t *testing.T) {
	h := new(Histogram)
	for range Enough {
		h.Record(time.Millisecond)
	}
	c := NewCached(h, 0.95)
	want, ok := c.Delay(second)
	if !ok {
		t.Fatal("no delay")
	}
	for range 10 * Enough {
		h.Record(time.Second)
	}
	h.mu.Lock()
	got, ok := c.Delay(2 * second)
	h.mu.Unlock()
	if got != want || !ok {
		t.Errorf("got %v, %v, want the old %v", got, ok, want)
	}
	if got, _ := c.Delay(2 * second); got <= want {
		t.Errorf("got %v after that, want the new one", got)
	}
}

// Nothing is lost or counted twice, whatever the interleaving.
func TestHistogramConcurrently(t *testing.T) {
	const goroutines, each = 8, 20_000
	h := new(Histogram)
	c := NewCached(h, 0.9)
	h.Quantile(1, 0.5)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				d := time.Duration(i%4000) * 100 * time.Microsecond
				if i%2 == 0 {
					h.Record(d)
				} else {
					h.RecordAtLeast(d)
				}
				switch i % 1000 {
				case 0:
					h.answered.spread.Collided(maxStripes)
				case 1:
					h.mu.Lock()
					h.fold(1) // no time passes, so nothing fades
					h.mu.Unlock()
				case 2:
					c.Delay(int64(i))
				}
			}
		})
	}
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fold(1)
	if n := h.known.total() + h.censored.total(); n != goroutines*each {
		t.Errorf("%v samples, want %d", n, goroutines*each)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	h := new(Histogram)
	c := NewCached(h, 0.95)
	step := time.Duration(0)
	record := func() {
		h.Record(step % time.Second)
		h.RecordAtLeast(step % time.Second)
		c.Delay(int64(step))
		step += 7 * time.Millisecond
	}
	for range 10_000 {
		record()
	}
	if n := testing.AllocsPerRun(1000, record); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
