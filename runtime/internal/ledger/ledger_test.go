package ledger

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

const tick = int64(1) << tickBits

// posting is what was posted.
type posting struct {
	from, to int64
	n        uint32
}

func recorded() (*Ledger, *[]posting) {
	var all []posting
	return New(func(from, to int64, n uint32) { all = append(all, posting{from, to, n}) }), &all
}

func TestPostsWhenATickIsOver(t *testing.T) {
	l, all := recorded()
	start := 5000 * tick
	for i := range int64(10) {
		l.Add(start + i)
	}
	if len(*all) != 0 {
		t.Fatalf("posted %v in the tick", *all)
	}
	l.Add(start + 3*tick)
	if want := (posting{start, start + tick - 1, 10}); len(*all) != 1 || (*all)[0] != want {
		t.Fatalf("posted %v, want %v", *all, want)
	}
	l.Flush(start + 3*tick + 1)
	l.Flush(start + 3*tick + 2)
	if want := (posting{start + 3*tick, start + 3*tick + 1, 1}); len(*all) != 2 || (*all)[1] != want {
		t.Fatalf("posted %v, want %v as the second", *all, want)
	}
}

// A caller that was held up between reading the clock and counting does not take a cell back to its tick.
func TestLateCallersCountInTheTickThatTookThePlace(t *testing.T) {
	l, all := recorded()
	start := 5000 * tick
	l.Add(start + 7*tick)
	l.Add(start)
	l.Flush(start + 8*tick)
	if want := (posting{start + 7*tick, start + 8*tick - 1, 2}); len(*all) != 1 || (*all)[0] != want {
		t.Fatalf("posted %v, want %v", *all, want)
	}
	l.Add(start + 9*tick)
	l.Flush(start) // its time is late as well
	if want := (posting{start + 9*tick, start + 9*tick, 1}); len(*all) != 2 || (*all)[1] != want {
		t.Fatalf("posted %v, want %v as the second", *all, want)
	}
}

// Each call is posted once, at a time of which it is not more than a tick away if callers are in order, and never later than it.
func TestEveryCallIsPostedOnceAndInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<61).Draw(t, "start")
		added, posted := make(map[int64]uint32), make(map[int64]uint32)
		l := New(func(from, to int64, n uint32) {
			if to < from || to >= from+tick || to > now {
				t.Fatalf("posted from %d to %d at %d", from, to, now)
			}
			posted[from] += n
		})
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1, tick / 3, tick, 100 * tick, 1 << 40, 1 << 51}).Draw(t, "later")
			if rapid.IntRange(0, 4).Draw(t, "flush") == 0 {
				l.Flush(now)
				continue
			}
			l.Add(now)
			added[now>>tickBits<<tickBits]++
		}
		l.Flush(now)
		for at, n := range added {
			if posted[at] != n {
				t.Fatalf("%d calls of %d were posted, want %d: %v", posted[at], at, n, posted)
			}
		}
		if len(posted) != len(added) {
			t.Fatalf("posted %v, added %v", posted, added)
		}
	})
}

func TestNothingIsLostBetweenGoroutines(t *testing.T) {
	var sum atomic.Uint64
	l := New(func(_, _ int64, n uint32) { sum.Add(uint64(n)) })
	var wg sync.WaitGroup
	const goroutines, each = 8, 20_000
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			now := 1000 * tick
			for range each {
				now += r.Int64N(tick / 2)
				l.Add(now)
				if r.IntN(100) == 0 {
					l.Flush(now)
				}
			}
		})
	}
	wg.Wait()
	l.Flush(1 << 60)
	if got := sum.Load(); got != goroutines*each {
		t.Errorf("%d calls were posted, want %d", got, goroutines*each)
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	l := New(func(int64, int64, uint32) {})
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() { now += tick / 2; l.Add(now) }); n != 0 {
		t.Errorf("Add allocates %v objects", n)
	}
}

// What a call costs, beside an atomic addition.
func BenchmarkAdd(b *testing.B) {
	b.Run("ledger", func(b *testing.B) {
		l := New(func(int64, int64, uint32) {})
		now := int64(0)
		for b.Loop() {
			now += 100
			l.Add(now)
		}
	})
	b.Run("atomic", func(b *testing.B) {
		var n atomic.Int64
		for b.Loop() {
			n.Add(1)
		}
	})
}
