package window

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSumForgetsByTheBucket(t *testing.T) {
	w := New(16 * time.Second)
	for second := range int64(100) {
		now := second * int64(time.Second)
		w.Add(now, 2, 3)
		want := 3 * uint64(min(second+1, buckets))
		if got := w.Sum(now); got != (Sums{2: want}) {
			t.Fatalf("at %d s: sum %v, want %d of kind 2", second, got, want)
		}
	}
	last := int64(99 * time.Second)
	for age := range int64(buckets) {
		if got, want := w.Sum(last + age*int64(time.Second))[2], 3*uint64(buckets-age); got != want {
			t.Errorf("%d s after the last event: sum %d, want %d", age, got, want)
		}
	}
	if got := w.Sum(last + int64(buckets*time.Second)); got != (Sums{}) {
		t.Errorf("a span after the last event: sum %v, want none", got)
	}
}

func TestLateEventsNeverClearALaterBucket(t *testing.T) {
	w := New(16 * time.Second)
	now := int64(50 * time.Second)
	w.Add(now, 0, 7)
	w.Add(now-int64(16*time.Second), 0, 100) // the same place, a span ago
	w.Add(now-int64(3*time.Second), 0, 1)    // late, but of the span
	if got := w.Sum(now)[0]; got != 8 {
		t.Errorf("sum %d, want 8", got)
	}
}

func TestCountsStopAtTheirLargest(t *testing.T) {
	w := New(time.Second)
	w.Add(0, 1, math.MaxUint32)
	w.Add(0, 1, 5)
	if got := w.Sum(0)[1]; got != math.MaxUint32 {
		t.Errorf("sum %d, want %d", got, uint32(math.MaxUint32))
	}
	w.Add(int64(time.Second), 1, 2)
	if got := w.Sum(int64(time.Second))[1]; got != 2 {
		t.Errorf("sum of the next span %d, want 2", got)
	}
}

func TestBucketNumbersWrapAround(t *testing.T) {
	w := New(minSpan)
	near := int64(math.MaxUint32) * int64(time.Microsecond)
	for i := range int64(3 * buckets) {
		now := near + (i-buckets)*int64(time.Microsecond)
		w.Add(now, 0, 1)
		if got, want := w.Sum(now)[0], uint64(min(i+1, buckets)); got != want {
			t.Fatalf("step %d: sum %d, want %d", i, got, want)
		}
	}
}

// The documented error: all of the last 15/16 of the span, nothing older than the span.
func TestSumIsWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Int64Range(int64(minSpan), int64(10*time.Minute)).Draw(t, "span")
		w := New(time.Duration(span))
		type event struct {
			at   int64
			kind Kind
			n    uint32
		}
		var events []event
		now := rapid.Int64Range(0, int64(100*24*time.Hour)).Draw(t, "start")
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, span/4).Draw(t, "advance")
			if rapid.IntRange(0, 9).Draw(t, "contended") == 0 {
				w.spread.Collided(8)
			}
			e := event{now, Kind(rapid.IntRange(0, Kinds-1).Draw(t, "kind")), rapid.Uint32Range(0, 1000).Draw(t, "n")}
			w.Add(e.at, e.kind, e.n)
			events = append(events, e)
			var low, high Sums
			for _, e := range events {
				if now-e.at < span/buckets*(buckets-1) {
					low[e.kind] += uint64(e.n)
				}
				if now-e.at <= span+buckets {
					high[e.kind] += uint64(e.n)
				}
			}
			got := w.Sum(now)
			for k := range got {
				if got[k] < low[k] || got[k] > high[k] {
					t.Fatalf("kind %d: sum %d, want %d to %d", k, got[k], low[k], high[k])
				}
			}
		}
	})
}

func TestNothingIsLostBetweenGoroutines(t *testing.T) {
	const goroutines, each = 8, 5_000
	w := New(time.Hour)
	var clock atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				w.Add(clock.Add(1), Kind(g%Kinds), 1)
				if i%100 == 0 {
					w.collided()
				}
				if i%1000 == 0 {
					w.Sum(clock.Load())
				}
			}
		})
	}
	wg.Wait()
	var total uint64
	for _, n := range w.Sum(clock.Load()) {
		total += n
	}
	if total != goroutines*each {
		t.Errorf("sum %d, want %d", total, goroutines*each)
	}
	if w.spread.InUse() == 1 {
		t.Error("collisions spread nothing")
	}
}

// Many goroutines pass from bucket to bucket: each event is counted in exactly one.
func TestNothingIsLostWhereABucketBegins(t *testing.T) {
	const goroutines, ticks = 4, 1_000
	w := New(minSpan)
	var start [ticks]atomic.Int32
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for tick := range int64(ticks) {
				start[tick].Add(1)
				for start[tick].Load() < goroutines {
					runtime.Gosched()
				}
				w.Add(tick*int64(time.Microsecond), 0, 1)
			}
		})
	}
	wg.Wait()
	if got := w.Sum((ticks - 1) * int64(time.Microsecond))[0]; got != buckets*goroutines {
		t.Errorf("sum %d, want %d", got, buckets*goroutines)
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	w := New(time.Second)
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() { now += 1e7; w.Add(now, 1, 1); w.Sum(now) }); n != 0 {
		t.Errorf("Add and Sum allocate %v times", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		w := New(10 * time.Second)
		now := int64(0)
		for b.Loop() {
			now += 50
			w.Add(now, 1, 1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		w := New(10 * time.Second)
		b.RunParallel(func(pb *testing.PB) {
			now := int64(0)
			for pb.Next() {
				now += 50
				w.Add(now, 1, 1)
			}
		})
	})
}

func BenchmarkSum(b *testing.B) {
	for _, cells := range []int{1, 8} {
		b.Run(map[int]string{1: "1 cell", 8: "8 cells"}[cells], func(b *testing.B) {
			w := New(10 * time.Second)
			for w.spread.InUse() < cells {
				w.spread.Collided(cells)
			}
			for i := range cells {
				w.cells[i].Store(new(cell))
			}
			for b.Loop() {
				w.Sum(5)
			}
		})
	}
}
