package breaker

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = int64(time.Second)

var usual = Config{
	Window: 10 * time.Second, MinimumCalls: 4, FailureRatio: 0.5, SlowCallRatio: 0.5, SlowCallDuration: time.Second,
	OpenDuration: 5 * time.Second, MaxOpenDuration: 15 * time.Second, HalfOpenCalls: 3,
}

// calls lets n calls through at now and ends each at once.
func calls(t *testing.T, b *Breaker, now int64, n int, o Outcome) {
	t.Helper()
	for range n {
		p, ok := b.Allow(now)
		if !ok {
			t.Fatalf("a call was refused at %v", time.Duration(now))
		}
		b.Done(p, now, o, 0)
	}
}

func wantState(t *testing.T, b *Breaker, now int64, want State) {
	t.Helper()
	if got := b.State(now); got != want {
		t.Fatalf("at %v: %v, want %v", time.Duration(now), got, want)
	}
}

func TestOpensAtTheRatioAndNotBefore(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 3, Failure)
	wantState(t, b, 0, Closed) // below MinimumCalls
	calls(t, b, 0, 1, Failure)
	wantState(t, b, 0, Open)
	if _, ok := b.Allow(1); ok {
		t.Error("an open breaker let a call through")
	}
	if got := b.RetryAfter(second); got != 4*time.Second {
		t.Errorf("retry after %v, want 4s", got)
	}
	if got := b.Counts(1); got != (Counts{Refused: 1}) {
		t.Errorf("counts %+v, want one refused", got)
	}

	b = New(usual, nil)
	calls(t, b, 0, 6, Success)
	calls(t, b, 0, 5, Failure)
	wantState(t, b, 0, Closed) // 5 of 11
	calls(t, b, 0, 1, Failure)
	wantState(t, b, 0, Open) // 6 of 12
}

func TestOpensOnSlowCallsThatSucceed(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 3, Success)
	for i := range 3 {
		wantState(t, b, 0, Closed)
		p, _ := b.Allow(0)
		b.Done(p, 0, Success, time.Second-time.Duration(i/3))
	}
	wantState(t, b, 0, Open)
}

func TestOpenTimeDoublesUpToTheMaximumAndStartsAnew(t *testing.T) {
	b := New(usual, nil)
	now := int64(0)
	calls(t, b, now, 4, Failure)
	for _, want := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second} {
		if got := b.RetryAfter(now); got != want {
			t.Fatalf("open for %v, want %v", got, want)
		}
		now += int64(want)
		calls(t, b, now, 2, Failure) // 2 of 3 probes decide
		wantState(t, b, now, Open)
	}
	now += 15 * second
	calls(t, b, now, 3, Success)
	wantState(t, b, now, Closed)
	now += 14 * second
	calls(t, b, now, 4, Failure)
	if got := b.RetryAfter(now); got != 15*time.Second {
		t.Fatalf("open for %v after it was closed for 14s, want 15s", got)
	}
	now += 15 * second
	calls(t, b, now, 3, Success)
	now += 15 * second
	calls(t, b, now, 4, Failure)
	if got := b.RetryAfter(now); got != 5*time.Second {
		t.Fatalf("open for %v after it was closed for 15s, want 5s", got)
	}
}

func TestHalfOpenLetsProbesThroughAndNoMore(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 4, Failure)
	var probes []Permit
	for range usual.HalfOpenCalls {
		p, ok := b.Allow(5 * second)
		if !ok {
			t.Fatal("a probe was refused")
		}
		probes = append(probes, p)
	}
	if _, ok := b.Allow(5 * second); ok {
		t.Fatal("one probe too many")
	}
	b.Done(probes[0], 5*second, Neutral, 0)
	calls(t, b, 5*second, 1, Success) // the place that Neutral gave back
	b.Done(probes[1], 5*second, Failure, 0)
	wantState(t, b, 5*second, HalfOpen)
	b.Done(probes[2], 5*second, Success, 0)
	wantState(t, b, 5*second, Closed) // 1 failure of 3 is below the ratio
}

func TestAProbeThatNeverReturnsIsReplaced(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 4, Failure)
	calls(t, b, 5*second, 2, Success)
	lost, ok := b.Allow(6 * second)
	if !ok {
		t.Fatal("a probe was refused")
	}
	if _, ok := b.Allow(11*second - 1); ok {
		t.Fatal("a probe was replaced before its time")
	}
	next, ok := b.Allow(11 * second)
	if !ok {
		t.Fatal("a lost probe was not replaced")
	}
	b.Done(lost, 11*second, Failure, 0)
	wantState(t, b, 11*second, HalfOpen)
	b.Done(next, 11*second, Success, 0)
	wantState(t, b, 11*second, Closed)
}

func TestResultsDoNotCrossAChangeOfState(t *testing.T) {
	b := New(usual, nil)
	var late []Permit
	for range 20 {
		p, _ := b.Allow(0)
		late = append(late, p)
	}
	calls(t, b, 0, 4, Failure)
	for _, p := range late[:10] {
		b.Done(p, second, Failure, 0) // open
	}
	calls(t, b, 5*second, 3, Success)
	for _, p := range late[10:] {
		b.Done(p, 5*second, Failure, 0) // closed again
	}
	wantState(t, b, 5*second, Closed)
	if got := b.Counts(5 * second); got != (Counts{}) {
		t.Errorf("counts %+v, want none", got)
	}
}

func TestObserveCountsAndRefusesNothing(t *testing.T) {
	cfg := usual
	cfg.Observe = true
	b := New(cfg, nil)
	calls(t, b, 0, 30, Failure)
	wantState(t, b, 0, Open)
	if got := b.Counts(0).Refused; got != 26 {
		t.Errorf("%d refused, want 26", got)
	}
	calls(t, b, 5*second, 10, Success) // 3 probes, the rest closed
	wantState(t, b, 5*second, Closed)
	if got := b.Counts(5 * second); got != (Counts{Calls: 7, Refused: 26}) {
		t.Errorf("counts %+v", got)
	}
}

func TestValuesOutsideTheirRangeAreHarmless(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{FailureRatio: 7, SlowCallRatio: -1, OpenDuration: 1<<63 - 1, HalfOpenCalls: 1 << 40, MinimumCalls: -5},
		{FailureRatio: 1, MaxOpenDuration: -4, Window: -3},
	} {
		b := New(cfg, nil)
		for now := range int64(100) {
			if p, ok := b.Allow(now); ok {
				b.Done(p, now, Failure, 0)
			}
			b.RetryAfter(now)
		}
	}
}

// Any history of one goroutine does what the model does.
func TestAgreesWithTheModel(t *testing.T) { rapid.Check(t, agreesWithTheModel) }

func FuzzAgreesWithTheModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreesWithTheModel)) }

func agreesWithTheModel(t *rapid.T) {
	ratio := rapid.SampledFrom([]float64{0, 0.1, 0.3, 0.5, 0.9, 1})
	duration := func(t *rapid.T, name string, most int64) time.Duration {
		return time.Duration(rapid.Int64Range(1, most).Draw(t, name)) * 100 * time.Millisecond
	}
	cfg := Config{
		Window:           duration(t, "window", 100),
		MinimumCalls:     rapid.IntRange(1, 12).Draw(t, "minimum"),
		FailureRatio:     ratio.Draw(t, "failures"),
		SlowCallRatio:    ratio.Draw(t, "slow"),
		SlowCallDuration: 50,
		OpenDuration:     duration(t, "open", 20),
		HalfOpenCalls:    rapid.IntRange(1, 5).Draw(t, "probes"),
		Observe:          rapid.Bool().Draw(t, "observe"),
	}
	cfg.MaxOpenDuration = cfg.OpenDuration + duration(t, "max", 100)
	var heard []change
	b, m := New(cfg, func(from, to State) { heard = append(heard, change{from, to}) }), newModel(cfg)
	type call struct {
		permit Permit
		epoch  int
	}
	var running []call
	now := int64(0)
	bias := rapid.IntRange(1, 9).Draw(t, "failures of 10")
	for range rapid.IntRange(1, 300).Draw(t, "steps") {
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			now += rapid.Int64Range(0, int64(cfg.MaxOpenDuration)*3/2).Draw(t, "advance")
		case 1, 2, 3, 4:
			permit, ok := b.Allow(now)
			epoch := m.allow(now)
			if ok != (epoch >= 0 || cfg.Observe) {
				t.Fatalf("at %d: allowed %v, model %d", now, ok, epoch)
			}
			running = append(running, call{permit, epoch})
		default:
			if len(running) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(running)-1).Draw(t, "call")
			c := running[i]
			running = slices.Delete(running, i, i+1)
			o := Success
			if n := rapid.IntRange(0, 10).Draw(t, "outcome"); n == 10 {
				o = Neutral
			} else if n < bias {
				o = Failure
			}
			took := time.Duration(rapid.IntRange(0, 80).Draw(t, "took"))
			b.Done(c.permit, now, o, took)
			m.done(c.epoch, now, o, took)
		}
		if got := b.current.Load().state; got != m.state {
			t.Fatalf("at %d: %v, model %v", now, got, m.state)
		}
		if got, want := b.Counts(now), m.counts(now); got != want {
			t.Fatalf("at %d: %+v, model %+v", now, got, want)
		}
	}
	if !slices.Equal(heard, m.changes) {
		t.Fatalf("heard %v, model %v", heard, m.changes)
	}
}

// Of a breaker under load from many goroutines: only legal changes, in order; as many probes at once as there may be;
// and in the end it closes.
func TestManyGoroutines(t *testing.T) {
	cfg := usual
	cfg.Window, cfg.OpenDuration, cfg.MaxOpenDuration = time.Millisecond, 20*time.Microsecond, 100*time.Microsecond
	var heard []change // one at a time, says the contract: the race detector holds it to that
	var b *Breaker
	b = New(cfg, func(from, to State) { heard = append(heard, change{from, to}); b.State(0) })
	var clock atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			for range 20_000 {
				p, ok := b.Allow(clock.Add(100))
				if !ok {
					continue
				}
				o := Outcome(random.IntN(3))
				b.Done(p, clock.Add(100), o, time.Duration(random.IntN(2)))
			}
		})
	}
	wg.Wait()
	if len(heard) < 10 {
		t.Fatalf("only %d changes", len(heard))
	}
	at := Closed
	for i, c := range heard {
		legal := c.from == Closed && c.to == Open || c.from == Open && c.to == HalfOpen ||
			c.from == HalfOpen && c.to != HalfOpen
		if c.from != at || !legal {
			t.Fatalf("change %d: %v to %v, from state %v", i, c.from, c.to, at)
		}
		at = c.to
	}
	now := clock.Load()
	for b.State(now) != Closed {
		now += int64(cfg.MaxOpenDuration)
		if p, ok := b.Allow(now); ok {
			b.Done(p, now, Success, 0)
		}
	}
}

func TestNeverMoreProbesThanThereMayBe(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 4, Failure)
	var in, most atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5_000 {
				p, ok := b.Allow(5 * second)
				if !ok {
					continue
				}
				n := in.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				in.Add(-1)
				b.Done(p, 5*second, Neutral, 0)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d probes at once, want 3 at most", most.Load())
	}
	calls(t, b, 5*second, 3, Success)
	wantState(t, b, 5*second, Closed)
}

func TestAHealthyCallDoesNotAllocate(t *testing.T) {
	b := New(usual, nil)
	calls(t, b, 0, 100, Success)
	if n := testing.AllocsPerRun(100, func() { calls(t, b, second, 1, Success); calls(t, b, second, 1, Neutral) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
