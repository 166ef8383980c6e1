package discovery

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// TestTargetsAreGuardedOneByOne has the wrapper around it, which gives the guard.
func TestTargetsAreGuardedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		guard := GuardConfig{EmptyGrace: 30 * time.Second, MaxRemovedRatio: 0.5}
		var failed error
		fallback, _ := ParseServiceConfig("")
		g := &playedConn{}
		w := Wrap(s.builder, fallback, Hooks{
			Attach:   func(a *attributes.Attributes) *attributes.Attributes { return a },
			Guard:    func() GuardConfig { return guard },
			Patience: func() time.Duration { return time.Second },
			Apply:    func(*ServiceConfig) string { return "{}" },
			Resolved: func(err error) { failed = err },
			Failed:   func(err error) { failed = err },
		})
		build := func() resolver.Resolver {
			r, err := w.Build(resolver.Target{}, g, resolver.BuildOptions{})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return r
		}
		shown := func() int { synctest.Wait(); return len(g.last().Endpoints) }
		r := build()
		_ = s.says(1, "x:1", "y:1")
		time.Sleep(time.Second)
		if shown() != 2 {
			t.Fatal("the channel's patience does not count")
		}
		_ = s.says(0, "p:1", "q:1", "r:1", "s:1", "t:1", "u:1")
		_ = s.says(1)
		if shown() != 8 {
			t.Fatalf("%d endpoints, want the backup's kept although they are few", shown())
		}
		var held *HeldError
		if !errors.As(SetOf(g.last()).Stale, &held) || held.Endpoints != 2 {
			t.Fatalf("stale = %v", SetOf(g.last()).Stale)
		}
		s.fails(1, errBackend)
		time.Sleep(time.Hour)
		if shown() != 8 || !errors.Is(failed, errBackend) || len(g.errs) != 0 {
			t.Fatalf("%d endpoints, failed %v, grpc was told %v", shown(), failed, g.errs)
		}
		r.Close()
		r = build() // as after a time without calls
		_ = s.says(0, "p:1", "q:1", "r:1", "s:1", "t:1", "u:1")
		_ = s.says(1)
		if shown() != 8 {
			t.Fatalf("%d endpoints, want what was known before", shown())
		}
		time.Sleep(31 * time.Second)
		if shown() != 6 || failed != nil {
			t.Fatalf("%d endpoints after the grace, failed %v", shown(), failed)
		}
		_ = s.says(0)
		guard = GuardConfig{}
		w.Push()
		if shown() != 0 {
			t.Fatalf("%d endpoints after the guard was turned off", shown())
		}
		r.Close()
		pushed := len(g.states)
		w.Push()
		time.Sleep(time.Hour)
		if len(g.states) != pushed {
			t.Fatal("a state after Close")
		}
	})
}
