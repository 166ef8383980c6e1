package budget

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events are the times of attempts, for the naive model: nothing is ever forgotten.
type events []int64

// within counts the events in (from, to].
func (e events) within(from, to int64) int {
	n := 0
	for _, t := range e {
		if t > from && t <= to {
			n++
		}
	}
	return n
}

func TestBudgetAgainstItsFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Ratio:        float64(rapid.IntRange(0, 100).Draw(t, "ratio")) / 100,
			MinPerSecond: float64(rapid.IntRange(0, 8).Draw(t, "min")) / 2,
			Window:       window * time.Duration(rapid.IntRange(1, 400).Draw(t, "slot")) * time.Millisecond,
		}
		b := New(c)
		length := int64(c.Window / window)
		now := rapid.Int64Range(0, 1<<62).Draw(t, "begin")
		var firsts, extras events
		counted := func(e events, slots uint32) (n int) {
			for _, t := range e {
				if b.slot(now)-b.slot(t) < slots {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"first": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					b.Deposit(now, 1)
					firsts = append(firsts, now)
				}
			},
			"extra": func(t *rapid.T) {
				allowed := b.Withdraw(now)
				if limit := c.Ratio*float64(firsts.within(now-int64(c.Window), now)) + c.MinPerSecond*c.Window.Seconds(); allowed &&
					float64(extras.within(now-int64(c.Window), now))+1 > limit+1e-9 {
					t.Fatalf("allowed beyond the limit of %v", limit)
				}
				limit := c.Ratio*float64(counted(firsts, window)) + c.MinPerSecond*c.Window.Seconds()
				counted := counted(extras, window+1)
				if want := float64(counted)+1 <= limit; allowed != want {
					t.Fatalf("allowed: %v, want %v at a limit of %v and %d counted", allowed, want, limit, counted)
				}
				if allowed {
					extras = append(extras, now)
				}
			},
			"return": func(t *rapid.T) {
				if len(extras) > 0 {
					last := len(extras) - 1
					b.Return(extras[last])
					extras = extras[:last]
				}
			},
			"time": func(t *rapid.T) {
				now += rapid.Int64Range(0, 3*length).Draw(t, "step")
			},
			"pause": func(t *rapid.T) {
				now += rapid.Int64Range(0, 3*int64(c.Window)).Draw(t, "step")
			},
		})
	})
}

// Slots follow one another, each as long as a 15th of the window, wherever time stands.
func TestSlotLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.Int64Range(int64(time.Second)/window, int64(time.Minute)/window).Draw(t, "length")
		b := New(Config{Window: time.Duration(length) * window})
		now := rapid.Int64Range(0, 1<<62).Draw(t, "now")
		n := rapid.Int64Range(0, 1000).Draw(t, "slots")
		if got := b.slot(now+n*length) - b.slot(now); got != uint32(n) && got != uint32(n)-1 {
			t.Fatalf("%d slots in the time of %d", got, n)
		}
	})
}

// A fast caller for whom time does not pass between two calls is refused exactly at the limit, and gets again what it
// gives back.
func TestWithdrawReturn(t *testing.T) {
	b := New(Config{Ratio: 0.25, MinPerSecond: 0.3, Window: 10 * time.Second})
	const now = int64(time.Hour)
	for range 8 {
		b.Deposit(now, 1)
	}
	for i := range 5 {
		if !b.Withdraw(now) {
			t.Fatalf("extra attempt %d of 5 refused", i+1)
		}
	}
	if b.Withdraw(now) {
		t.Fatal("extra attempt 6 of 5 allowed")
	}
	b.Return(now)
	if !b.Withdraw(now) || b.Withdraw(now) {
		t.Fatal("what is returned can be withdrawn once")
	}
	later := now + int64(20*time.Second)
	for i := range 3 {
		if !b.Withdraw(later) {
			t.Fatalf("extra attempt %d of 3 refused", i+1)
		}
	}
	b.Return(now) // no longer counted: gives nothing back
	if b.Withdraw(later) {
		t.Fatal("an expired return was counted")
	}
}

// A stall of the server at steady traffic: each call that begins in it may be hedged, and the share of hedges stays
// below the limit all the same, however long calls go on asking.
func TestHedgeCapOutlastsAStall(t *testing.T) {
	tests := []struct {
		name  string
		share float64 // of calls that ask for a hedge before the stall
		want  int     // of the 300 calls in the stall, hedged
	}{
		{"no hedges before", 0, 300},
		{"hedges of 1.5 % before", 0.015, 300},
		{"hedges of 2.5 % before: half the limit is left", 0.025, 220},
		{"the limit is used up before", 0.05, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Config{Ratio: 0.05, Window: 10 * time.Second})
			random := rand.New(rand.NewPCG(1, 2))
			const stall = 40_000
			firsts, extras, inStall := 0, 0, 0
			for call := range 150_000 { // one a millisecond
				now := int64(call) * int64(time.Millisecond)
				b.Deposit(now, 1)
				firsts++
				inside := call >= stall && call < stall+300
				wants := inside || call > 2*stall || random.Float64() < tt.share
				if wants && b.Withdraw(now) {
					extras++
					if inside {
						inStall++
					}
				}
				if float64(extras) > 0.05*float64(firsts) {
					t.Fatalf("%d extra attempts to %d first ones", extras, firsts)
				}
			}
			if inStall < tt.want {
				t.Errorf("%d of 300 calls in the stall were hedged, want %d", inStall, tt.want)
			}
			share := float64(extras) / float64(firsts)
			t.Logf("%d of 300 calls in the stall were hedged; %.2f %% in the long run", inStall, 100*share)
		})
	}
}

// Whatever the interleaving, no more is allowed than the first attempts pay for, and all of that is in the end.
func TestBudgetConcurrently(t *testing.T) {
	const goroutines, each = 8, 5_000
	b := New(Config{Ratio: 0.2, Window: time.Minute})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for n := range each {
				b.Deposit(int64(n), 1)
				if n%500 == 0 {
					b.spread.Collided(len(b.firsts))
				}
				if b.Withdraw(int64(n)) {
					if (n+i)%3 == 0 {
						b.Return(int64(n))
					} else {
						taken.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n > goroutines*each/5 {
		t.Fatalf("%d extra attempts to %d first ones", n, goroutines*each)
	}
	for b.Withdraw(each) {
		taken.Add(1)
	}
	if n := taken.Load(); n != goroutines*each/5 {
		t.Errorf("%d extra attempts to %d first ones in the end: some were lost", n, goroutines*each)
	}
}

// Time passes under the feet of callers, some of which are late by more than the ring is long.
func TestBudgetConcurrentlyOverTime(t *testing.T) {
	b := New(Config{Ratio: 0.5, Window: 15 * time.Microsecond})
	var clock atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20_000 {
				now := clock.Add(137)
				b.Deposit(now, 1)
				if b.Withdraw(now) && now%5 == 0 {
					b.Return(now)
				}
			}
		})
	}
	wg.Wait()
	for i := range b.extras {
		if n := uint32(b.extras[i].Load()); n > 8*20_000 {
			t.Errorf("slot %d counts %d: it went below 0", i, n)
		}
	}
}

func TestBudgetDoesNotAllocate(t *testing.T) {
	b := New(Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += int64(time.Millisecond)
		b.Deposit(now, 1)
		if b.Withdraw(now) {
			b.Return(now)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The number of a slot wraps around once in some years, and counts go on.
func TestSlotsWrapAround(t *testing.T) {
	var r ring
	const last = ^uint32(0)
	r.add(last, 1)
	r.add(0, 1)
	if got := r.sum(0, 2); got != 2 {
		t.Errorf("the last slot and the first: %d, want 2", got)
	}
	if got := r.sum(0, 1); got != 1 {
		t.Errorf("the first slot: %d, want 1", got)
	}
	r.add(last-slots, 1) // a whole ring late
	if got := r.sum(0, 2); got != 3 {
		t.Errorf("a late one counts in the slot that took its place: %d, want 3", got)
	}
}
