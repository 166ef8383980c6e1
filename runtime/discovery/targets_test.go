package discovery

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

func TestTargetsAreMergedByPriority(t *testing.T) {
	staged(t, 2, func(t *testing.T, s *stage) {
		_ = s.says(0, "p:1", "q:1")
		_ = s.says(1, "q:1", "r:1")
		s.expect(2, 0, "p:1", "q:1", "r:1")
		set := s.set()
		if len(set.Endpoints) != len(s.last().Endpoints) {
			t.Fatal("the set and the state differ")
		}
		for i, want := range []struct {
			priority uint32
			target   string
		}{{0, "a:///one:1"}, {0, "a:///one:1"}, {128, "b:///two:2"}} {
			e := set.Endpoints[i]
			if e.Priority != want.priority || e.Target() != want.target || e.Weight != 1 {
				t.Errorf("%s has priority %d, weight %d, target %s", e.ID(), e.Priority, e.Weight, e.Target())
			}
		}
		_ = s.says(0, "p:1")
		s.expect(3, 0, "p:1", "q:1", "r:1")
		if got := s.set().Endpoints[1]; got.Priority != 128 || got.Target() != "b:///two:2" {
			t.Fatalf("an endpoint that only the backup has left: %+v", got)
		}
	})
}

func TestTargetsKeepWhatTheirSetsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := NewRegistry()
		defer registry.Close()
		put := func(service, address string, priority uint32) {
			e := Endpoint{Addresses: []string{address}, Weight: 3, Zone: "eu", Priority: priority, Metadata: map[string]string{"rack": "r7"}}
			if _, err := registry.Put(service, address, e); err != nil {
				t.Fatal(err)
			}
		}
		main := newScript() // of another module, whose priorities have no bound
		main.send(Event{Reset: true, Put: []Entry{
			{"1", Endpoint{Addresses: []string{"10.0.0.1:1"}}}, {"2", Endpoint{Addresses: []string{"10.0.0.2:1"}, Priority: 500}},
		}})
		put("spare", "10.0.0.3:1", 0)
		put("spare", "10.0.0.4:1", 2)
		b, err := NewTargets(Lookup([]resolver.Builder{FromSource(main), NewMemoryBuilder(registry)}), "source:///main", "memory:///spare", "static:///10.0.0.5:1;weight=2;priority=127")
		if err != nil {
			t.Fatal(err)
		}
		c := &capture{t: t}
		r, _ := b.Build(resolver.Target{}, c, resolver.BuildOptions{})
		defer r.Close()
		synctest.Wait()
		set := SetOf(c.last())
		var priorities []uint32
		for _, e := range set.Endpoints {
			priorities = append(priorities, e.Priority)
		}
		if want := []uint32{0, 127, 128, 130, 256 + 127}; !slices.Equal(priorities, want) {
			t.Fatalf("priorities = %v, want %v", priorities, want)
		}
		if e := set.Endpoints[2]; e.Weight != 3 || e.Zone != "eu" || e.Metadata["rack"] != "r7" || set.Stale != nil {
			t.Fatalf("endpoint %+v, stale %v", e, set.Stale)
		}
		put("spare", "10.0.0.6:1", 0)
		synctest.Wait()
		if now := SetOf(c.last()); now.Revision <= set.Revision || len(now.Endpoints) != 6 {
			t.Fatalf("revision %d after %d, %d endpoints", now.Revision, set.Revision, len(now.Endpoints))
		}
		registry.Close()
		synctest.Wait()
		now := SetOf(c.last())
		var several *TargetsError
		if !errors.As(now.Stale, &several) || len(several.Errors) != 1 || several.Others != 2 || len(now.Endpoints) != 6 {
			t.Fatalf("stale = %v with %d endpoints", now.Stale, len(now.Endpoints))
		}
	})
}

func TestTargetIsWaitedForBeforeThoseAfterIt(t *testing.T) {
	t.Run("until it speaks", func(t *testing.T) {
		staged(t, 2, func(t *testing.T, s *stage) {
			_ = s.says(1, "backup:1")
			time.Sleep(defaultPatience - time.Millisecond)
			s.expect(0, 0)
			_ = s.says(0, "primary:1")
			s.expect(1, 0, "primary:1", "backup:1")
		})
	})
	t.Run("until it fails", func(t *testing.T) {
		staged(t, 2, func(t *testing.T, s *stage) {
			_ = s.says(1, "backup:1")
			s.fails(0, errBackend)
			s.expect(1, 1, "backup:1")
			_ = s.says(0, "primary:1")
			s.expect(2, 1, "primary:1", "backup:1")
		})
	})
	t.Run("until it says that it has none", func(t *testing.T) {
		staged(t, 2, func(t *testing.T, s *stage) {
			_ = s.says(0)
			s.expect(0, 0)
			_ = s.says(1, "backup:1")
			s.expect(1, 0, "backup:1")
		})
	})
	t.Run("not for ever", func(t *testing.T) {
		staged(t, 3, func(t *testing.T, s *stage) {
			_ = s.says(2, "backup:1")
			time.Sleep(defaultPatience)
			synctest.Wait()
			s.expect(1, 0, "backup:1")
		})
	})
	t.Run("not for those after it", func(t *testing.T) {
		staged(t, 3, func(t *testing.T, s *stage) {
			_ = s.says(0, "primary:1")
			s.expect(1, 0, "primary:1")
		})
	})
}

func TestErrorOfOneTargetDoesNotHideTheOthers(t *testing.T) {
	staged(t, 2, func(t *testing.T, s *stage) {
		s.fails(0, errBackend)
		s.expect(0, 0)
		permanent := badTarget("b:///two:2", "is wrong")
		s.fails(1, permanent)
		s.expect(0, 1)
		var several *TargetsError
		if err := s.lastError(); !errors.As(err, &several) || several.Others != 0 || !errors.Is(err, errBackend) || IsPermanent(err) {
			t.Fatalf("error = %v", err)
		}
		if got := s.lastError().Error(); got != `target "a:///one:1": backend is down; and target "b:///two:2": is wrong` {
			t.Fatalf("error = %s", got)
		}
		_ = s.says(1, "backup:1")
		s.expect(1, 2, "backup:1")
		if errors.As(s.lastError(), &several); several.Others != 1 || IsPermanent(s.lastError()) {
			t.Fatalf("error = %v; the primary's lasts", s.lastError())
		}
		s.fails(1, permanent)
		s.expect(2, 3, "backup:1")
		if stale := s.set().Stale; !errors.As(stale, &several) || len(several.Errors) != 1 || several.Errors[0].Target != "b:///two:2" {
			t.Fatalf("stale = %v", stale)
		}
		_ = s.says(0, "primary:1")
		s.fails(0, permanent)
		if !IsPermanent(s.lastError()) {
			t.Fatalf("error = %v; each is permanent", s.lastError())
		}
		_ = s.says(0, "primary:1")
		_ = s.says(1, "backup:1")
		if _, errs := s.count(); errs != 6 || s.set().Stale != nil {
			t.Fatalf("%d errors, stale %v; want none new", errs, s.set().Stale)
		}
	})
}

func TestTargetThatCannotBeBuiltIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		s.players[0].err = errBackend
		s.build()
		_ = s.says(1, "backup:1")
		s.expect(1, 1, "backup:1")
		time.Sleep(time.Minute)
		s.players[0].mu.Lock()
		s.players[0].err = nil
		s.players[0].mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.players[0].built < 5 {
			t.Fatalf("built %d times", s.players[0].built)
		}
		_ = s.says(0, "primary:1")
		if got := s.addresses(); !slices.Equal(got, []string{"primary:1", "backup:1"}) {
			t.Fatalf("addresses = %v", got)
		}
		s.resolver.ResolveNow(resolver.ResolveNowOptions{})
		if s.players[0].resolved != 1 || s.players[1].resolved != 1 {
			t.Fatal("not all are resolved again")
		}
		s.resolver.Close()
		if s.players[0].closed != 1 || s.players[1].closed != 1 {
			t.Fatal("not all are closed")
		}
	})
}

func TestTargetsGiveTheFirstServiceConfig(t *testing.T) {
	staged(t, 3, func(t *testing.T, s *stage) {
		config := func(i int, c *serviceconfig.ParseResult) {
			state := addresses("x:1")
			state.ServiceConfig = c
			_ = s.players[i].conn.UpdateState(state)
		}
		first, second, bad := &serviceconfig.ParseResult{}, &serviceconfig.ParseResult{}, &serviceconfig.ParseResult{Err: errBackend}
		config(0, nil)
		config(2, second)
		if s.last().ServiceConfig != second {
			t.Fatal("want that of the only target that has one")
		}
		config(0, first)
		if s.last().ServiceConfig != first {
			t.Fatal("want the primary's")
		}
		config(0, bad)
		var invalid *ServiceConfigError
		if s.last().ServiceConfig != first || !errors.As(s.lastError(), &invalid) {
			t.Fatalf("want the one before, and an error: %v", s.lastError())
		}
		config(1, bad)
		var several *TargetsError
		if errors.As(s.lastError(), &several); len(several.Errors) != 2 {
			t.Fatalf("a target that never had a valid config: %v", s.lastError())
		}
		config(0, nil)
		if s.last().ServiceConfig != second {
			t.Fatal("want that of the only target that has one")
		}
	})
}

func TestTargetsNameTheirServers(t *testing.T) {
	names := func(s *stage) (names []string) {
		for _, e := range s.last().Endpoints {
			names = append(names, e.Addresses[0].ServerName)
		}
		return names
	}
	staged(t, 2, func(t *testing.T, s *stage) {
		_ = s.says(0, "10.0.0.1:1")
		_ = s.says(1, "10.0.0.2:1")
		if got := names(s); !slices.Equal(got, []string{"", "two:2"}) || s.players[1].opts.Authority != "two:2" {
			t.Fatalf("names = %q, the backup was built for %q", got, s.players[1].opts.Authority)
		}
		if named := s.set().Named(1, []resolver.Address{{Addr: "proxy:1"}}); named[0].ServerName != "two:2" {
			t.Fatalf("behind a proxy: %+v", named)
		}
	})
	synctest.Test(t, func(t *testing.T) { // credentials that name the server hold for all
		s := newStage(t, 2)
		r, _ := s.builder.Build(resolver.Target{}, s.capture, resolver.BuildOptions{Authority: "named.example", DialCreds: namedCreds{}})
		synctest.Wait()
		_ = s.says(0, "10.0.0.1:1")
		_ = s.says(1, "10.0.0.2:1")
		if got := names(s); !slices.Equal(got, []string{"", ""}) {
			t.Fatalf("names = %q", got)
		}
		r.Close()
	})
}

func TestNewTargetsReportsEverythingAtOnce(t *testing.T) {
	lookup := Lookup([]resolver.Builder{&player{scheme: "xds"}})
	_, err := NewTargets(lookup, "", "static:///10.0.0.1", "consul:///x", "dns:///a:1", "a:1", "xds:///x")
	if !IsPermanent(err) {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{
		"target 1 of 6: the target is empty",
		`target 2 of 6: target "static:///10.0.0.1": `,
		`target 3 of 6: target "consul:///x": the scheme "consul" has no resolver`,
		`target 5 of 6: target "a:1": is target 4 already; remove one`,
		`target 6 of 6: target "xds:///x": brings balancing policies of its own`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v\nwant it to say %q", err, want)
		}
	}
}

func TestTargetsStandForThePrimary(t *testing.T) {
	b, err := NewTargets(nil, "dns:///main.example:443", "static:///10.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	if b.Scheme() != "dns" || b.Primary().String() != "dns:///main.example:443" || b.OverrideAuthority(resolver.Target{}) != "main.example:443" {
		t.Fatalf("scheme %s, primary %s, authority %s", b.Scheme(), b.Primary(), b.OverrideAuthority(resolver.Target{}))
	}
}

func TestTargetsErrorIsPermanentIfEachIs(t *testing.T) {
	permanent, gone := badTarget("x", "is wrong"), &net.DNSError{IsNotFound: true}
	tests := []struct {
		name string
		err  TargetsError
		want bool
	}{
		{"all", TargetsError{Errors: []*TargetError{{"x", permanent}, {"y", permanent}}}, true},
		{"another has none", TargetsError{Errors: []*TargetError{{"x", permanent}}, Others: 1}, false},
		{"another may pass", TargetsError{Errors: []*TargetError{{"x", permanent}, {"y", gone}}}, false},
	}
	for _, tt := range tests {
		if IsPermanent(&tt.err) != tt.want {
			t.Errorf("%s: want %v", tt.name, tt.want)
		}
	}
}
