package throttle

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/internal/window"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheBooksFormula(t *testing.T) {
	tests := []struct {
		name              string
		k                 float64
		accepted, refused int
		want              float64
	}{
		{"no call", 2, 0, 0, 0},
		{"all accepted", 2, 100, 0, 0},
		{"half accepted", 2, 50, 50, 0},
		{"a tenth accepted", 2, 10, 90, 80. / 101},
		{"none accepted", 2, 0, 99, 0.99},
		{"one call, refused", 2, 0, 1, 0.5},
		{"a smaller K refuses sooner", 1.1, 50, 50, 45. / 101},
		{"K below 1 is 1", 0, 50, 50, 50. / 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			th := New(Config{K: tt.k, Window: time.Minute})
			for range tt.accepted {
				th.Accepted(0, 1)
			}
			for range tt.refused {
				th.Refused(0)
			}
			if got := th.Probability(0); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("probability %v, want %v", got, tt.want)
			}
			if ok := th.Allow(0, always(0)); ok != (tt.want == 0) {
				t.Errorf("the smallest random number: allowed %v", ok)
			}
			if !th.Allow(0, always(math.MaxUint64)) {
				t.Error("the largest random number was refused")
			}
		})
	}
}

func TestCallsUnderWayRefuseNothing(t *testing.T) {
	th := New(Config{K: 2, Window: time.Minute})
	for i := range int64(1000) {
		if !th.Allow(i*refresh, always(0)) {
			t.Fatal("a call was refused, of a server that refused none")
		}
	}
	if got := th.Counts(0); got != (Counts{}) {
		t.Errorf("counts %+v, want none", got)
	}
}

func TestObserveSeesTheCallsThatItWouldRefuse(t *testing.T) {
	th := New(Config{K: 2, Window: time.Minute, Observe: true})
	random := rand.New(rand.NewPCG(1, 2))
	var refused uint64
	for i := range int64(1000) {
		now := i * refresh
		if !th.Allow(now, random.Uint64) {
			refused++
		}
		if i%4 == 0 { // it goes out, whatever Allow says
			th.Accepted(now, 1)
		} else {
			th.Refused(now)
		}
	}
	if got, want := th.Counts(1000*refresh), (Counts{Requests: 1000, Accepts: 250, Refused: refused}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if refused < 400 || refused > 600 {
		t.Errorf("%d would have been refused, want about half", refused)
	}
}

// The book: the server sees K times what it accepts, however much is asked of it; and all calls pass again once it can.
func TestAnOverloadedServerSeesKTimesWhatItAccepts(t *testing.T) {
	const perSecond, k = 2000, 2.0
	th := New(Config{K: k, Window: 16 * time.Second})
	random := rand.New(rand.NewPCG(3, 4))
	now, room := int64(0), 0.0
	// run offers perSecond calls a second to a server that accepts capacity of them, and returns how many it sees.
	run := func(seconds int, capacity float64) (seen int) {
		for range seconds * perSecond {
			now += int64(time.Second) / perSecond
			room = min(room+capacity/perSecond, capacity/10)
			if !th.Allow(now, random.Uint64) {
				continue
			}
			seen++
			if room < 1 {
				th.Refused(now)
				continue
			}
			room--
			th.Accepted(now, 1)
		}
		return seen
	}
	if seen := run(60, 2*perSecond); seen != 60*perSecond {
		t.Fatalf("a server without overload sees %d of %d calls", seen, 60*perSecond)
	}
	const capacity = 100
	run(120, capacity)
	if seen := float64(run(60, capacity)) / 60; math.Abs(seen-k*capacity) > 0.1*k*capacity {
		t.Errorf("an overloaded server sees %.0f calls a second, want %.0f", seen, k*capacity)
	}
	run(120, 2*perSecond)
	if seen := run(10, 2*perSecond); seen < 10*perSecond*99/100 {
		t.Errorf("two minutes after the overload %d of %d calls pass", seen, 10*perSecond)
	}
}

// Any history of one goroutine does what the formula says.
func TestAgreesWithTheModel(t *testing.T) {
	type event struct {
		tick uint32
		kind window.Kind
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			K:       rapid.Float64Range(1, 4).Draw(t, "k"),
			Window:  time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second,
			Observe: rapid.Bool().Draw(t, "observe"),
		}
		th, clock := New(cfg), window.New(cfg.Window)
		var events []event
		var refused uint64
		now := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += refresh + rapid.Int64Range(0, int64(cfg.Window)/8).Draw(t, "advance")
			tick := clock.Tick(now)
			events = slices.DeleteFunc(events, func(e event) bool { return tick-e.tick >= 16 })
			requests, accepts := float64(len(events)), 0.
			for _, e := range events {
				if e.kind == accepted {
					accepts++
				}
			}
			p := max(0, (requests-cfg.K*accepts)/(requests+1))
			random := rapid.Uint64().Draw(t, "random")
			refuse := float64(random) < p*math.Exp2(64)
			if ok := th.Allow(now, always(random)); ok == refuse {
				t.Fatalf("at %d: allowed %v, of %v requests %v accepted", now, ok, requests, accepts)
			}
			if refuse {
				refused++
			}
			switch o := rapid.IntRange(0, 4).Draw(t, "outcome"); {
			case refuse && !cfg.Observe:
				events = append(events, event{tick, refusedHere})
			case o == 0:
				th.Accepted(now, 1)
				events = append(events, event{tick, accepted})
			case o <= 3:
				th.Refused(now)
				events = append(events, event{tick, refusedThere})
			}
			if got := th.Counts(now); got.Requests != uint64(len(events)) || got.Refused != refused {
				t.Fatalf("at %d: counts %+v, want %d requests, %d refused", now, got, len(events), refused)
			}
		}
	})
}

func TestManyGoroutinesLoseNoCall(t *testing.T) {
	th := New(Config{K: 2, Window: time.Hour})
	var clock atomic.Int64
	var refused atomic.Uint64
	var wg sync.WaitGroup
	const goroutines, each = 8, 10_000
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(g)))
			for range each {
				now := clock.Add(int64(time.Millisecond))
				switch {
				case !th.Allow(now, random.Uint64):
					refused.Add(1)
				case random.IntN(3) == 0:
					th.Accepted(now, 1)
				default:
					th.Refused(now)
				}
			}
		})
	}
	wg.Wait()
	got := th.Counts(clock.Load())
	if got.Requests != goroutines*each || got.Refused != refused.Load() {
		t.Errorf("counts %+v, want %d requests, %d refused", got, goroutines*each, refused.Load())
	}
}

func TestACallDoesNotAllocate(t *testing.T) {
	th := New(Config{K: 2, Window: time.Minute})
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		now += refresh
		th.Allow(now, always(1))
		th.Accepted(now, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	call := func(th *Throttle, now int64) {
		th.Allow(now, always(uint64(now)))
		th.Accepted(now, 1)
	}
	b.Run("serial", func(b *testing.B) {
		th, now := New(Config{K: 2, Window: time.Minute}), int64(0)
		for b.Loop() {
			now += 100
			call(th, now)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		th := New(Config{K: 2, Window: time.Minute})
		b.RunParallel(func(pb *testing.PB) {
			for now := int64(0); pb.Next(); {
				now += 100
				call(th, now)
			}
		})
	})
}

// always is a random source.
func always(n uint64) func() uint64 { return func() uint64 { return n } }
