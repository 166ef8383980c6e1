package balancer

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// A pick reads the load of several endpoints: each must be one cache line.
func TestLoadIsOneCacheLine(t *testing.T) {
	if size := unsafe.Sizeof(load{}); size != 64 {
		t.Errorf("a load takes %d bytes, want 64", size)
	}
}

// call is a call in flight, for the naive model.
type call struct {
	began int64
	g     *atomic.Uint64
}

// The age is never too low by more than its unit, and too high by no more than the longest life of a call that began before the
// oldest one.
func TestLoadAge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLoad()
		now := int64(rapid.Uint32().Draw(rt, "start")) << 10
		var running []call
		ended := make(map[int64]int64) // the longest life, by beginning
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			now += rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(rt, "pause")
			if len(running) == 0 || rapid.IntRange(0, 9).Draw(rt, "begin") < 5 {
				running = append(running, call{now, l.begin(now)})
			} else {
				i := rapid.IntRange(0, len(running)-1).Draw(rt, "end")
				l.end(running[i].g)
				ended[running[i].began] = max(ended[running[i].began], now-running[i].began)
				running = slices.Delete(running, i, i+1)
			}
			inFlight, age := l.state(now)
			if inFlight != int64(len(running)) || l.inFlight() != inFlight {
				rt.Fatalf("%d in flight, want %d", inFlight, len(running))
			}
			if len(running) == 0 {
				if age != 0 {
					rt.Fatalf("age = %v without calls", time.Duration(age))
				}
				continue
			}
			oldest, surplus := running[0].began, int64(0) // they are in order
			for began, life := range ended {
				if began <= oldest {
					surplus = max(surplus, life)
				}
			}
			const unit = 1 << ageUnit
			if want := now - oldest; age < want-unit || age > want+surplus+unit {
				rt.Fatalf("age = %v, want %v, and at most %v more", time.Duration(age), time.Duration(want), time.Duration(surplus))
			}
		}
	})
}

// The age is too high by no more than the time for which the oldest call's generation accepted calls.
func TestLoadAgeErrorIsBoundedByTheGenerationBefore(t *testing.T) {
	l := newLoad()
	const ms = int64(time.Millisecond)
	first := l.begin(0)            // its generation drains when the next call begins
	second := l.begin(ms)          // accepting since 1 ms
	late := l.begin(9 * ms)        // by 9 ms, as long as the first one runs
	l.end(first)                   // at 10 ms
	third := l.begin(11 * ms)      // a new generation; that of the second and late drains
	l.end(second)                  // late is the oldest, and counts as old as the second
	_, age := l.state(12 * ms)     // in truth 3 ms
	if age < 3*ms || age > 12*ms { // 3 ms, and at most the 9 ms for which the first one ran
		t.Errorf("age = %v, want 3ms to 12ms", time.Duration(age))
	}
	l.end(late)
	if _, age = l.state(13 * ms); age > 3*ms || age < ms {
		t.Errorf("age = %v, want about 2ms", time.Duration(age))
	}
	l.end(third)
}

// Whatever the interleaving, nothing stays in flight.
func TestLoadReturnsToZero(t *testing.T) {
	l := newLoad()
	var clock atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var running []*atomic.Uint64
			for i := range 20_000 {
				running = append(running, l.begin(clock.Add(1000)))
				if i%3 != 0 {
					l.end(running[0])
					running = running[1:]
				}
				l.state(clock.Load())
			}
			for _, g := range running {
				l.end(g)
			}
		})
	}
	wg.Wait()
	if inFlight, age := l.state(clock.Load()); inFlight != 0 || age != 0 {
		t.Errorf("in flight = %d, age = %d, want none", inFlight, age)
	}
}

func TestLoadSample(t *testing.T) {
	l := newLoad()
	l.count(false, 100)
	l.count(false, 300)
	l.count(true, 50)
	if got := l.count(true, 0); got != 2 {
		t.Errorf("failures in a row = %d, want 2", got)
	}
	s := l.sample()
	if s.Calls != 4 || s.Failures != 2 || s.Streak != 2 || s.Latency != 200 {
		t.Errorf("sample = %+v", s)
	}
	l.count(false, 0)
	if s := l.sample(); s.Calls != 1 || s.Failures != 0 || s.Streak != 0 || s.Latency != 0 {
		t.Errorf("next sample = %+v", s)
	}
}
