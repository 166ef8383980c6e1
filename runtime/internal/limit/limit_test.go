package limit

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wantCounts(t *testing.T, l *Limiter, want Counts) {
	t.Helper()
	if got := l.Counts(); got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
}

func TestNoMorePermitsThanTheLimit(t *testing.T) {
	l := New(Config{Max: 2})
	for range 2 {
		if err := l.TryAcquire(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.TryAcquire(); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	if err := l.Acquire(t.Context()); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit, without a queue: %v", err)
	}
	wantCounts(t, l, Counts{Limit: 2, InFlight: 2, Refused: 2})
	l.Release(0, 0, Success, false)
	if err := l.Acquire(t.Context()); err != nil {
		t.Error(err)
	}
}

// waiting queues a call and returns where its result comes.
func waiting(ctx context.Context, l *Limiter) <-chan error {
	result := make(chan error, 1)
	go func() { result <- l.Acquire(ctx) }()
	synctest.Wait()
	return result
}

func TestCallsWaitInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Max: 1, MaxQueued: 3})
		l.TryAcquire()
		var queue []<-chan error
		for range 3 {
			queue = append(queue, waiting(t.Context(), l))
		}
		if err := l.Acquire(t.Context()); !errors.Is(err, ErrFull) {
			t.Errorf("beyond the queue: %v", err)
		}
		wantCounts(t, l, Counts{Limit: 1, InFlight: 1, Queued: 3, Refused: 1})
		for i, turn := range queue {
			if err := l.TryAcquire(); err == nil {
				t.Fatal("a call overtook those that wait")
			}
			l.Release(0, time.Millisecond, Success, false)
			synctest.Wait()
			select {
			case err := <-turn:
				if err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatalf("call %d did not get its turn", i)
			}
		}
		l.Release(0, 0, Success, false)
		wantCounts(t, l, Counts{Limit: 1, Refused: 4})
	})
}

func TestAWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Max: 1, MaxQueued: 9, MaxQueueTime: time.Second})
		l.TryAcquire()
		ctx, cancel := context.WithCancel(t.Context())
		cancelled, late := waiting(ctx, l), waiting(t.Context(), l)
		cancel()
		if err := <-cancelled; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled call: %v", err)
		}
		if err := l.Acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a call cancelled before: %v", err)
		}
		wantCounts(t, l, Counts{Limit: 1, InFlight: 1, Queued: 1})
		if err := <-late; !errors.Is(err, ErrQueueTimeout) {
			t.Errorf("after the longest wait: %v", err)
		}
		wantCounts(t, l, Counts{Limit: 1, InFlight: 1, Refused: 1})
		l.Release(0, 0, Ignored, false)
		wantCounts(t, l, Counts{Limit: 1, Refused: 1})
	})
}

func TestACallWhoseTurnComesTooLateDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Max: 2, MaxQueued: 9})
		for range 2 {
			l.TryAcquire()
			l.Release(0, 100*time.Millisecond, Success, false)
		}
		l.TryAcquire()
		l.TryAcquire()
		soon, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
		defer cancel()
		first := waiting(soon, l) // its turn is in 50 ms
		if err := l.Acquire(soon); !errors.Is(err, ErrHopeless) {
			t.Errorf("a call whose turn is in 100 ms and that has 80: %v", err)
		}
		second := waiting(t.Context(), l)
		l.Release(0, 100*time.Millisecond, Success, false)
		l.Release(0, 100*time.Millisecond, Success, false)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
	})
}

func TestUpdateKeepsPermitsAndPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Max: 4, MaxQueued: 4})
		for range 4 {
			l.TryAcquire()
		}
		first, second := waiting(t.Context(), l), waiting(t.Context(), l)
		l.Update(Config{Max: 3, MaxQueued: 4})
		l.Release(0, 0, Success, false)
		wantCounts(t, l, Counts{Limit: 3, InFlight: 3, Queued: 2}) // the limit has shrunk: the permit is gone
		l.Release(0, 0, Success, false)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		wantCounts(t, l, Counts{Limit: 3, InFlight: 3, Queued: 1})
		l.Update(Config{Max: 10})
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		wantCounts(t, l, Counts{Limit: 10, InFlight: 4})
		l.Update(Config{Adaptive: true, AdaptiveMin: 50, AdaptiveMax: 60})
		wantCounts(t, l, Counts{Limit: 50, InFlight: 4})
		l.Update(Config{})
		wantCounts(t, l, Counts{Limit: 1, InFlight: 4})
		for range 4 {
			l.Release(0, 0, Success, false)
		}
		wantCounts(t, l, Counts{Limit: 1})
	})
}

func TestObserveNeverWaits(t *testing.T) {
	l := New(Config{Max: 2, MaxQueued: 1, Observe: true})
	for range 3 {
		if err := l.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := l.Acquire(t.Context()); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit and the queue: %v", err)
	}
	wantCounts(t, l, Counts{Limit: 3, InFlight: 3, Refused: 1})
}

// Of many goroutines that acquire, wait, cancel and release while the limit moves: never more than the largest limit at
// once, and in the end no permit is lost and none is left over.
func TestManyGoroutines(t *testing.T) {
	const most = 6
	configs := []Config{
		{Max: 2, MaxQueued: 3, MaxQueueTime: time.Microsecond},
		{Max: most, MaxQueued: 2},
		{Max: 1, MaxQueued: 4, MaxQueueTime: 20 * time.Microsecond},
		{Adaptive: true, AdaptiveMin: 1, AdaptiveMax: most, MaxQueued: 8},
	}
	l := New(configs[0])
	var running, largest, got, clock atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(g)))
			for i := range 3_000 {
				if g == 0 && i%50 == 0 {
					l.Update(configs[i/50%len(configs)])
				}
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(4) == 0 {
					go cancel()
				}
				err := l.Acquire(ctx)
				if err == nil {
					got.Add(1)
					n := running.Add(1)
					for old := largest.Load(); n > old && !largest.CompareAndSwap(old, n); old = largest.Load() {
					}
					running.Add(-1)
					took := time.Duration(random.IntN(int(time.Millisecond)))
					l.Release(clock.Add(int64(time.Millisecond)), took, Outcome(random.IntN(3)), false)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c := l.Counts()
	if c.InFlight != 0 || c.Queued != 0 || l.queue.Len() != 0 {
		t.Errorf("at the end: %+v, %d in the queue", c, l.queue.Len())
	}
	if largest.Load() > most || got.Load() == 0 {
		t.Errorf("%d ran at once of %d at most; %d in all", largest.Load(), most, got.Load())
	}
}

func TestAFreePermitDoesNotAllocate(t *testing.T) {
	for _, cfg := range []Config{{Max: 5}, {Max: 5, MaxQueued: 5}, {Adaptive: true, AdaptiveMin: 4, AdaptiveMax: 100}} {
		l := New(cfg)
		now := int64(0)
		if n := testing.AllocsPerRun(1000, func() {
			now += int64(time.Millisecond)
			if l.Acquire(t.Context()) == nil {
				l.Release(now, time.Millisecond, Success, false)
			}
		}); n != 0 {
			t.Errorf("%+v: %v allocations", cfg, n)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"fixed", Config{Max: 100}},
		{"queue", Config{Max: 100, MaxQueued: 100}},
		{"adaptive", Config{Adaptive: true, AdaptiveMin: 4, AdaptiveMax: 1000}},
	} {
		ctx := b.Context()
		call := func(l *Limiter, now int64) {
			if l.Acquire(ctx) == nil {
				l.Release(now, time.Millisecond, Success, false)
			}
		}
		b.Run(c.name+"/serial", func(b *testing.B) {
			l, now := New(c.cfg), int64(0)
			for b.Loop() {
				now += 100
				call(l, now)
			}
		})
		b.Run(c.name+"/parallel", func(b *testing.B) {
			l := New(c.cfg)
			b.RunParallel(func(pb *testing.PB) {
				for now := int64(0); pb.Next(); {
					now += 100
					call(l, now)
				}
			})
		})
	}
}

// A permit may count its call, whatever becomes of the configuration meanwhile.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Max: 2})
		expect := func(calls int64, inFlight, queued int) {
			t.Helper()
			if c := l.Counts(); l.Calls() != calls || c.InFlight != inFlight || c.Queued != queued {
				t.Fatalf("%d calls are counted, %d permits held, %d calls wait; want %d, %d and %d", l.Calls(), c.InFlight, c.Queued, calls, inFlight, queued)
			}
		}
		if !l.Try(true) || !l.Try(false) || l.Try(true) {
			t.Fatal("Try does not heed the limit")
		}
		expect(1, 2, 0)
		l.Release(0, 0, Success, false)
		if !l.Try(true) {
			t.Fatal("a permit that was given back is not free")
		}
		expect(2, 2, 0)
		l.Update(Config{Max: 2, MaxQueued: 1})
		go func() {
			if err := l.Acquire(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		expect(2, 2, 1)
		l.Release(0, 0, Success, true) // hands its permit over
		synctest.Wait()
		expect(1, 2, 0)
		l.Update(Config{Max: 1})
		l.Release(0, 0, Success, true)
		l.Release(0, 0, Ignored, false)
		expect(0, 0, 0)
	})
}
