package discovery

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/resolver"
)

// start builds a resolver over src, with pauses exact to the jitter's middle.
func start(t *testing.T, src Source, c *capture) resolver.Resolver {
	t.Helper()
	b := FromSource(src).(*builder)
	b.pacing.random = func() float64 { return 0.5 }
	target, _, err := ParseTarget("source:///x", Lookup([]resolver.Builder{b}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Build(target.Target, c, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolverAppliesEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		r := start(t, src, c)
		synctest.Wait()
		c.expect(0, 0)

		src.send(Event{Revision: 5, Reset: true, Put: entries("b:1", "a:1", "c:1")})
		synctest.Wait()
		c.expect(1, 0, "b:1", "a:1", "c:1")

		src.send(Event{Revision: 6, Put: entries("d:1"), Delete: []string{"a:1", "nobody:1"}})
		synctest.Wait()
		c.expect(2, 0, "b:1", "c:1", "d:1")
		if set := SetOf(c.last()); set.Revision != 6 || set.Stale != nil || len(set.Endpoints) != 3 {
			t.Errorf("got %+v", set)
		}

		src.send(Event{Revision: 7})                      // nothing
		src.send(Event{Revision: 8, Put: entries("d:1")}) // nothing new
		src.send(Event{Revision: 9, Reset: true, Put: entries("b:1", "c:1", "d:1")})
		synctest.Wait()
		c.expect(2, 0, "b:1", "c:1", "d:1")

		src.send(Event{Revision: 10, Reset: true, Put: entries("d:1", "e:1")})
		synctest.Wait()
		c.expect(3, 0, "d:1", "e:1")

		src.send(Event{Revision: 11, Reset: true})
		synctest.Wait()
		c.expect(4, 0)
		if c.last().Endpoints == nil || c.last().Addresses != nil {
			t.Errorf("an empty set became %+v", c.last())
		}
		r.Close()
		if !src.isClosed() {
			t.Error("the watcher was left open")
		}
	})
}

func TestResolverReusesUnchangedEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		defer start(t, src, c).Close()
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1", "b:1", "c:1")})
		synctest.Wait()
		before := c.last()

		heavier := Entry{Key: "b:1", Endpoint: Endpoint{Addresses: []string{"b:1"}, Weight: 7}}
		src.send(Event{Revision: 2, Put: []Entry{heavier}})
		src.send(Event{Revision: 3, Reset: true, Put: append(entries("c:1", "a:1"), heavier)})
		synctest.Wait()
		after := c.last()
		if &before.Endpoints[0].Addresses[0] != &after.Endpoints[1].Addresses[0] ||
			&before.Endpoints[1].Addresses[0] != &after.Endpoints[2].Addresses[0] {
			t.Error("the addresses of an endpoint that stayed are others")
		}
		if SetOf(before).Endpoints[1].Weight != 1 || SetOf(after).Endpoints[2].Weight != 7 {
			t.Error("a state that was handed out changed, or the new weight did not arrive")
		}
	})
}

func TestResolverErrorThenRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		defer start(t, src, c).Close()
		begin := time.Now()
		for range 3 {
			src.fail(errBackend)
		}
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
		time.Sleep(time.Minute)
		synctest.Wait()
		c.expect(1, 3, "a:1")
		if !errors.Is(c.lastError(), errBackend) {
			t.Errorf("got %v", c.lastError())
		}
		pause := time.Duration(0)
		for i, at := range src.calls[:4] {
			if at.Sub(begin) != pause {
				t.Errorf("call %d of Next after %v, want %v", i+1, at.Sub(begin), pause)
			}
			pause += pauseAfter(i+1, 0.5)
		}

		// A set that is known is kept, and marked once however often the source fails.
		src.fail(errBackend)
		src.fail(fmt.Errorf("still: %w", errBackend))
		synctest.Wait()
		time.Sleep(backoffInitial) // the count began anew
		synctest.Wait()
		c.expect(2, 5, "a:1")
		if set := SetOf(c.last()); !errors.Is(set.Stale, errBackend) {
			t.Errorf("got stale %v", set.Stale)
		}
		src.send(Event{Revision: 1}) // well again, and nothing changed
		time.Sleep(time.Minute)
		synctest.Wait()
		c.expect(3, 5, "a:1")
		if set := SetOf(c.last()); set.Stale != nil {
			t.Errorf("got stale %v", set.Stale)
		}

		// The source may say by itself that it is stale.
		src.send(Event{Revision: 1, Stale: errBackend})
		synctest.Wait()
		c.expect(4, 5, "a:1")
		if set := SetOf(c.last()); set.Stale != errBackend {
			t.Errorf("got stale %v", set.Stale)
		}
	})
}

func TestResolverRefusesChangesBeforeSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		defer start(t, src, c).Close()
		src.send(Event{Revision: 1, Put: entries("a:1")})
		synctest.Wait()
		c.expect(0, 1)
		if c.lastError() != errNoSnapshot {
			t.Errorf("got %v", c.lastError())
		}
	})
}

func TestResolverDoesNotSpinWhenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		c.answer = func(resolver.State) error { return balancer.ErrBadResolverState }
		r := start(t, src, c)
		defer r.Close()
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
		time.Sleep(time.Hour)
		synctest.Wait()
		c.expect(1, 0, "a:1")
		src.send(Event{Revision: 1}) // the next word of the source brings it again
		synctest.Wait()
		c.expect(2, 0, "a:1")
	})
}

func TestResolveNowRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		r := start(t, src, c)
		synctest.Wait()
		for range 3 {
			r.ResolveNow(resolver.ResolveNowOptions{})
		}
		r.Close()
		r.ResolveNow(resolver.ResolveNowOptions{})
		if src.refreshes < 3 {
			t.Errorf("got %d refreshes", src.refreshes)
		}
	})
}

func TestResolverSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		c.block = func() { time.Sleep(time.Minute) }
		defer start(t, src, c).Close()
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprintf("s%d:1", i))
			src.send(Event{Revision: int64(i + 2), Put: entries(want[i])})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		c.expect(21, 0, append([]string{"a:1"}, want...)...)
	})
}

func TestResolverCloseAtAnyMoment(t *testing.T) {
	for i := range 12 {
		synctest.Test(t, func(t *testing.T) {
			src, c := newScript(), &capture{t: t}
			c.block = func() { time.Sleep(30 * time.Millisecond) }
			r := start(t, src, c)
			src.fail(errBackend)
			src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
			src.send(Event{Revision: 2, Put: entries("b:1")})
			src.fail(errBackend)
			time.Sleep(time.Duration(i) * 30 * time.Millisecond)
			r.Close()
			states, errs := c.count()
			time.Sleep(time.Hour)
			synctest.Wait()
			open := len(src.calls) > 0 && !src.isClosed()
			if s, e := c.count(); s != states || e != errs || open {
				t.Errorf("closed after %d: %d states, %d errors more, watcher open: %v", i, s-states, e-errs, open)
			}
		})
	}
}

func TestResolverOutlivesItsWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		r := start(t, src, c)
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
		synctest.Wait()
		src.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		c.expect(2, 1, "a:1")
		if set := SetOf(c.last()); set.Stale != ErrClosed {
			t.Errorf("got stale %v", set.Stale)
		}
		r.Close()
	})
}

func TestBuildRetriesOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, c := newScript(), &capture{t: t}
		tries := 0
		b := NewBuilder("flaky", func(Target) (Source, error) {
			if tries++; tries <= 3 {
				return nil, errBackend
			}
			return src, nil
		})
		target, _, err := ParseTarget("flaky:///x", Lookup([]resolver.Builder{b}))
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Build(target.Target, c, resolver.BuildOptions{})
		if err != nil {
			t.Fatalf("Build returned a transient error: %v", err)
		}
		r.ResolveNow(resolver.ResolveNowOptions{})
		src.send(Event{Revision: 1, Reset: true, Put: entries("a:1")})
		time.Sleep(time.Minute)
		synctest.Wait()
		c.expect(1, 2, "a:1")
		r.Close()
	})
}

func TestBuildRefusesMalformedTarget(t *testing.T) {
	target, b, err := ParseTarget("static:///a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Build(target.Target, &capture{t: t}, resolver.BuildOptions{})
	var c *ConfigError
	if r != nil || !errors.As(err, &c) || c.Target != "static:///a" {
		t.Fatalf("got %v, %v", r, err)
	}
}

func TestPauseAfter(t *testing.T) {
	tests := []struct {
		failures int
		random   float64
		want     time.Duration
	}{
		{1, 0.5, 200 * time.Millisecond},
		{1, 0, 160 * time.Millisecond},
		{2, 0.5, 320 * time.Millisecond},
		{3, 0.5, 512 * time.Millisecond},
		{100, 0.5, 30 * time.Second},
		{100_000, 0, 24 * time.Second},
	}
	for _, tt := range tests {
		if got := pauseAfter(tt.failures, tt.random); got != tt.want {
			t.Errorf("pauseAfter(%d, %v): got %v, want %v", tt.failures, tt.random, got, tt.want)
		}
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := sleep(t.Context(), time.Hour); err != nil {
			t.Errorf("got %v", err)
		}
	})
}
