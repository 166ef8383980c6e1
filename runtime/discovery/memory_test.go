package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/resolver"
)

// startMemory builds a resolver for inv over r.
func startMemory(t testing.TB, r *Registry, cc resolver.ClientConn) resolver.Resolver {
	t.Helper()
	b := NewMemoryBuilder(r)
	target, _, err := ParseTarget("memory:///inv", Lookup([]resolver.Builder{b}))
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.Build(target.Target, cc, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestMemoryTargets(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	tests := []struct {
		registry     *Registry
		target, want string
	}{
		{r, "memory:///inv", ""},
		{r, "memory:///team/inv%3F", ""},
		{nil, "memory:///inv", "WithResolvers(discovery.NewMemoryBuilder(registry))"},
		{r, "memory:///", "name of a service is missing"},
		{r, "memory:inv", "lacks the slashes"},
		{r, "memory://inv", "three slashes"},
		{r, "memory:///inv?x", "is a query"},
		{r, "memory:///inv#x", "is a fragment"},
	}
	for _, tt := range tests {
		err := Validate(tt.target, Lookup([]resolver.Builder{NewMemoryBuilder(tt.registry)}))
		if tt.want == "" && err != nil || tt.want != "" && (!IsPermanent(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.target, err, tt.want)
		}
	}
	if err := Validate("memory:///inv", nil); !IsPermanent(err) {
		t.Errorf("without a registry: got %v", err)
	}
}

func TestMemoryFollowsRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		c := &capture{t: t}
		res := startMemory(t, r, c)
		synctest.Wait()
		c.expect(1, 0)
		deregister, err := r.Register(t.Context(), "inv", at("a:1"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.expect(2, 0, "a:1")
		time.Sleep(time.Hour)
		c.expect(2, 0, "a:1")
		deregister()
		synctest.Wait()
		c.expect(3, 0)
		put(t, r, "inv", "b", at("b:1"))
		synctest.Wait()
		r.Close()
		synctest.Wait()
		c.expect(5, 1, "b:1")
		if set := SetOf(c.last()); !errors.Is(set.Stale, ErrClosed) {
			t.Errorf("got stale %v after the registry's end", set.Stale)
		}
		res.Close()
	})
}

func TestResolverMergesABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		defer r.Close()
		c := &capture{t: t}
		c.block = func() { time.Sleep(time.Second) }
		defer startMemory(t, r, c).Close()
		time.Sleep(time.Minute)
		for i := range 500 {
			put(t, r, "inv", fmt.Sprint(i), at(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255)))
		}
		time.Sleep(time.Minute)
		// The empty list, what was there when the resolver woke up, and the rest as one.
		if states, _ := c.count(); states > 3 || len(c.addresses()) != 500 {
			t.Errorf("%d states, the last with %d endpoints", states, len(c.addresses()))
		}
		if set := SetOf(c.last()); set.Revision != 500 {
			t.Errorf("revision %d", set.Revision)
		}
	})
}

// flood is always pending.
type flood struct {
	*script
	revision int64
}

func (f *flood) Watch() Watcher { return f }
func (f *flood) Pending() bool  { return true }
func (f *flood) Next(ctx context.Context) (Event, error) {
	if f.revision >= 3*maxDrained {
		return f.script.Next(ctx)
	}
	f.revision++
	e := Entry{Key: "a", Endpoint: Endpoint{Addresses: []string{"a:1"}, Weight: uint32(f.revision)}}
	return Event{Revision: f.revision, Reset: f.revision == 1, Put: []Entry{e}}, nil
}

func TestResolverIsNotKeptFromPushing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flood{script: newScript()}
		c := &capture{t: t}
		defer start(t, f, c).Close()
		synctest.Wait()
		c.expect(3, 0, "a:1")
		// An error behind events comes after their state.
		f.send(Event{Revision: 1 << 20, Put: entries("b:1")})
		f.fail(errBackend)
		synctest.Wait()
		c.expect(5, 1, "a:1", "b:1")
		if set := SetOf(c.last()); !errors.Is(set.Stale, errBackend) {
			t.Errorf("got stale %v", set.Stale)
		}
	})
}

// states hands each state on.
type states struct {
	resolver.ClientConn
	seen chan resolver.State
}

func (s *states) UpdateState(st resolver.State) error {
	s.seen <- st
	return nil
}
func (s *states) ReportError(error) {}

// BenchmarkRegister is the way of one registration among n endpoints, from the registry to the state of the resolver.
func BenchmarkRegister(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := NewRegistry()
			defer r.Close()
			var ops []Op
			for _, e := range manyEntries(n) {
				ops = append(ops, PutOp("inv", e.Key, e.Endpoint))
			}
			if _, _, err := r.Txn(nil, ops...); err != nil {
				b.Fatal(err)
			}
			cc := &states{seen: make(chan resolver.State)}
			res := startMemory(b, r, cc)
			defer res.Close()
			<-cc.seen
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 {
					_, _ = r.Put("inv", "new", at("new:1"))
				} else {
					_, _, _ = r.Delete("inv", "new")
				}
				if got := len((<-cc.seen).Endpoints); got != n+1-i%2 {
					b.Fatalf("%d endpoints", got)
				}
			}
		})
	}
}

// BenchmarkBurst registers a hundred endpoints among n, one by one, and waits until the last has arrived. It reports how
// many states that made.
func BenchmarkBurst(b *testing.B) {
	const burst = 100
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := NewRegistry()
			defer r.Close()
			var ops []Op
			for _, e := range manyEntries(n) {
				ops = append(ops, PutOp("inv", e.Key, e.Endpoint))
			}
			if _, _, err := r.Txn(nil, ops...); err != nil {
				b.Fatal(err)
			}
			cc := &states{seen: make(chan resolver.State)}
			res := startMemory(b, r, cc)
			defer res.Close()
			<-cc.seen
			pushed := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var last int64
				for j := range burst {
					last, _ = r.Put("inv", fmt.Sprint("new", j), Endpoint{Addresses: []string{fmt.Sprintf("new%d:1", j)}, Weight: uint32(i%2 + 1)})
				}
				for SetOf(<-cc.seen).Revision < last {
					pushed++
				}
				pushed++
			}
			b.ReportMetric(float64(pushed)/float64(b.N), "states/op")
		})
	}
}
