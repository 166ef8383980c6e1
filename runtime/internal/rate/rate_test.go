package rate

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = int64(time.Second)

// take returns how many of n calls at now find a token.
func take(l *Limiter, now int64, n int) (found int) {
	for range n {
		if l.Allow(now) {
			found++
		}
	}
	return found
}

func TestABurstAndThenTheRate(t *testing.T) {
	l := New(Config{PerSecond: 10, Burst: 5})
	if got := take(l, 0, 20); got != 5 {
		t.Errorf("a full bucket gave %d calls, want 5", got)
	}
	if got := l.Refused(); got != 15 {
		t.Errorf("%d refused, want 15", got)
	}
	if got := take(l, second/10-1000, 3); got != 0 {
		t.Errorf("%d calls before the first token came", got)
	}
	if got := take(l, second*3/10, 20); got != 3 {
		t.Errorf("0.3 s at 10 a second gave %d calls, want 3", got)
	}
	if got := take(l, 100*second, 20); got != 5 {
		t.Errorf("a full bucket gave %d calls, want 5", got)
	}
}

func TestUpdateKeepsTokens(t *testing.T) {
	l := New(Config{PerSecond: 1, Burst: 10})
	take(l, 0, 4)
	l.Update(0, Config{PerSecond: 2, Burst: 100})
	if got := take(l, 0, 100); got != 6 {
		t.Errorf("%d tokens after the update, want the 6 that were left", got)
	}
	if got := take(l, 5*second, 100); got != 10 {
		t.Errorf("5 s at 2 a second gave %d calls, want 10", got)
	}
	l.Update(1000*second, Config{PerSecond: 2})
	if got := take(l, 1000*second, 100); got != 1 {
		t.Errorf("%d tokens in the smallest bucket, want 1", got)
	}
}

func TestTimesOutOfOrderCreditNothingTwice(t *testing.T) {
	l := New(Config{PerSecond: 1000, Burst: 1000})
	take(l, second, 1000)
	found := 0
	for range 500 {
		found += take(l, second, 10) + take(l, 2*second, 10)
	}
	if found != 1000 {
		t.Errorf("a second at 1000 a second gave %d calls", found)
	}
}

// Of any history: never more calls between two times than the burst and what the rate gives; and a caller that asks
// whenever a token is due gets it.
func TestNeverMoreThanTheBucketGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			PerSecond: rapid.Float64Range(0.01, 1e6).Draw(t, "rate"),
			Burst:     rapid.IntRange(1, 50).Draw(t, "burst"),
		}
		l := New(cfg)
		var found []int64
		now := int64(0)
		tokens := float64(cfg.Burst)
		for range rapid.IntRange(1, 300).Draw(t, "calls") {
			step := rapid.Int64Range(0, int64(3e9/cfg.PerSecond)).Draw(t, "advance")
			now += step
			tokens = min(tokens+float64(step)/1e9*cfg.PerSecond, float64(cfg.Burst))
			ok := l.Allow(now)
			if want := tokens >= 1; ok != want && math.Abs(tokens-1) > 1e-3 {
				t.Fatalf("at %d: allowed %v with %v tokens", now, ok, tokens)
			}
			if ok {
				tokens--
				found = append(found, now)
			}
		}
		for i := range found {
			for j := i; j < len(found); j++ {
				most := float64(cfg.Burst) + float64(found[j]-found[i])/1e9*cfg.PerSecond + 1e-3
				if n := j - i + 1; float64(n) > most {
					t.Fatalf("%d calls in %d ns, want %v at most", n, found[j]-found[i], most)
				}
			}
		}
	})
}

// A large burst is handed out in blocks: what the bucket gets in the time of one may come on top.
func TestBlocksGiveNoMoreThanTheBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			PerSecond: rapid.Float64Range(1, 1e6).Draw(t, "rate"),
			Burst:     rapid.IntRange(64, 5000).Draw(t, "burst"),
		}
		l := New(cfg)
		slack := cfg.PerSecond*float64(blockTime)/1e9 + 1
		now, found, gained := int64(1), 0, float64(cfg.Burst)
		for range rapid.IntRange(1, 50).Draw(t, "rounds") {
			step := rapid.Int64Range(0, int64(5e6)).Draw(t, "advance")
			now += step
			gained += float64(step) / 1e9 * cfg.PerSecond
			found += take(l, now, rapid.IntRange(1, 400).Draw(t, "calls"))
			if float64(found) > gained+slack {
				t.Fatalf("%d calls, want %v at most", found, gained)
			}
		}
		// A pause fills the bucket, and no token of it is lost in a block.
		now += int64(float64(cfg.Burst) / cfg.PerSecond * 1e9)
		if n := take(l, now, 2*cfg.Burst); float64(n) < float64(cfg.Burst)-1 || float64(n) > float64(cfg.Burst)+slack {
			t.Fatalf("%d calls after a pause, want %d", n, cfg.Burst)
		}
	})
}

func TestManyGoroutinesGetWhatTheBucketGives(t *testing.T) {
	l := New(Config{PerSecond: 1000, Burst: 100})
	var clock, found atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				if l.Allow(clock.Add(int64(10 * time.Microsecond))) {
					found.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got, most := found.Load(), int64(100+clock.Load()*1000/second); got > most || got < most-1 {
		t.Errorf("%d calls, want %d", got, most)
	}
}

func TestAllowDoesNotAllocate(t *testing.T) {
	l := New(Config{PerSecond: 1, Burst: 10})
	if n := testing.AllocsPerRun(100, func() { l.Allow(0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllow(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		l, now := New(Config{PerSecond: 1e9, Burst: 1e6}), int64(0)
		for b.Loop() {
			now += 100
			l.Allow(now)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		l := New(Config{PerSecond: 1e9, Burst: 1e6})
		b.RunParallel(func(pb *testing.PB) {
			for now := int64(0); pb.Next(); {
				now += 100
				l.Allow(now)
			}
		})
	})
}
