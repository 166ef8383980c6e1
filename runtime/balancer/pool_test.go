package balancer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"google.golang.org/grpc/resolver"
)

var errRefused = errors.New("connection refused")

func (r *rig) wantState(want connectivity.State) {
	r.t.Helper()
	if got := r.cc.last().ConnectivityState; got != want {
		r.t.Fatalf("published state = %v, want %v", got, want)
	}
	if got := r.ch.Status().State; got != want {
		r.t.Fatalf("Status().State = %v, want %v", got, want)
	}
}

func (r *rig) wantPickError(parts ...string) {
	r.t.Helper()
	_, err := r.pick()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			r.t.Errorf("pick error = %v, want %q in it", err, part)
		}
	}
}

func TestStatesOfOneEndpoint(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	if got := r.ch.Status(); got.State != connectivity.Idle || got.Updated {
		t.Errorf("before the first update: %+v", got)
	}
	r.must(r.resolve("a"))
	sc := r.cc.at(t, "a")
	r.wantState(connectivity.Connecting)
	if _, err := r.pick(); err != balancer.ErrNoSubConnAvailable {
		t.Errorf("pick error = %v", err)
	}
	sc.becomes(connectivity.Connecting)
	sc.fails(errRefused)
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("a: connection refused", "none of 1 endpoints")
	if got := r.ch.Status(); got.Failed != 1 || got.Ready != 0 || got.Total != 1 || !got.Updated {
		t.Errorf("status = %+v", got)
	}
	connects := sc.connects
	sc.becomes(connectivity.Idle)
	if sc.connects != connects+1 {
		t.Error("IDLE does not connect")
	}
	r.wantState(connectivity.TransientFailure)
	sc.becomes(connectivity.Connecting)
	r.wantState(connectivity.TransientFailure)
	sc.becomes(connectivity.Ready)
	r.wantState(connectivity.Ready)
	if got := r.picks(3); got["a"] != 3 {
		t.Errorf("picks = %v", got)
	}
	sc.becomes(connectivity.Idle)
	r.wantState(connectivity.Connecting)
	e := r.ch.Endpoints()[0]
	var at *EndpointError
	if e.Attempts != 2 || !errors.Is(e.LastError, errRefused) || !errors.As(e.LastError, &at) || at.Address != "a" {
		t.Errorf("endpoint = %+v", e)
	}
	r.lb.Close()
	if got := r.ch.Status(); got.State != connectivity.Idle || got.Total != 1 || got.Ready+got.Failed != 0 || !got.Updated {
		t.Errorf("after Close: %+v", got)
	}
	if r.time.open() != 0 {
		t.Error("Close left a timer")
	}
	sc.becomes(connectivity.Ready) // too late
	if got := r.ch.Status().Ready; got != 0 {
		t.Error("a closed balancer listens")
	}
}

func TestAggregation(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b"))
	a, b := r.cc.at(t, "a"), r.cc.at(t, "b")
	a.fails(errRefused)
	r.wantState(connectivity.Connecting)
	b.fails(errors.New("no route"))
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("b: no route", "none of 2")
	a.fails(errors.New("reset"))
	r.time.fire()
	r.wantPickError("a: reset")
	b.becomes(connectivity.Ready)
	r.wantState(connectivity.Ready)
	r.must(r.resolve("a"))
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("a: reset")
	r.must(r.resolve("a", "c"))
	r.wantState(connectivity.Connecting)
}

func TestResolverErrors(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.lb.ResolverError(errors.New("no such host"))
	if got := r.cc.last(); got.ConnectivityState != connectivity.TransientFailure {
		t.Fatalf("state = %v", got.ConnectivityState)
	}
	r.wantPickError("name resolver error: no such host")
	r.must(r.resolve("a"))
	r.wantState(connectivity.Connecting)
	sc := r.cc.at(t, "a")
	sc.becomes(connectivity.Ready)
	r.lb.ResolverError(errors.New("timeout"))
	r.time.fire()
	r.wantState(connectivity.Ready)
	if got := r.ch.Status().LastResolverError; got == nil || got.Error() != "timeout" {
		t.Errorf("LastResolverError = %v", got)
	}
	sc.becomes(connectivity.Idle)
	sc.fails(errRefused)
	r.wantPickError("a: connection refused", "name resolver error: timeout")
	r.must(r.resolve("a"))
	if got := r.ch.Status().LastResolverError; got != nil {
		t.Errorf("LastResolverError = %v after an update", got)
	}
	if _, err := r.pick(); strings.Contains(err.Error(), "timeout") {
		t.Errorf("pick error = %v", err)
	}
}

func TestEmptyUpdate(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	for range 2 {
		if err := r.resolve(); err != balancer.ErrBadResolverState {
			t.Errorf("error = %v", err)
		}
		r.wantState(connectivity.TransientFailure)
		r.wantPickError("name resolver gives no endpoints")
		r.must(r.resolve("a"))
		r.wantState(connectivity.Connecting)
		bringUp(r.cc)
		r.wantState(connectivity.Ready)
	}
	if err := r.resolve(); err != balancer.ErrBadResolverState {
		t.Errorf("error = %v", err)
	}
	if left := r.cc.live(); len(left) != 0 {
		t.Errorf("SubConns left: %v", left)
	}
	r.lb.ResolverError(errors.New("gone"))
	r.wantPickError("gone")
}

func TestPublicationRule(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.cc.keepAll = true
	count := func() int { n := len(r.cc.published); return n }
	r.must(r.resolve("a", "b", "c"))
	r.time.fire()
	a, b, c := r.cc.at(t, "a"), r.cc.at(t, "b"), r.cc.at(t, "c")

	n := count()
	a.becomes(connectivity.Ready)
	if count() != n+1 {
		t.Fatal("the first READY does not publish at once")
	}
	b.becomes(connectivity.Ready)
	c.becomes(connectivity.Ready)
	if count() != n+1 {
		t.Fatal("further READYs do not wait for each other")
	}
	r.time.fire()
	if count() != n+2 || len(r.picks(3)) != 3 {
		t.Fatalf("%d publications, picks %v", count()-n, r.picks(3))
	}
	r.time.fire() // closes the window

	n = count()
	a.becomes(connectivity.Idle)
	if count() != n+1 || len(r.picks(4)) != 2 {
		t.Fatal("an exit does not publish at once while nothing waits")
	}
	b.becomes(connectivity.Idle)
	b.becomes(connectivity.Ready) // the set is equal again
	if count() != n+1 {
		t.Fatal("an exit does not wait for the window of the one before")
	}
	r.time.fire()
	if count() != n+2 {
		t.Fatal("an exit does not force a fresh picker")
	}
	b.becomes(connectivity.Idle)
	c.becomes(connectivity.Idle)
	r.wantState(connectivity.Connecting)
	r.time.fire()
	r.time.fire()
	if r.time.open() != 0 {
		t.Error("a timer runs although nothing waits")
	}
}

// A removed endpoint that served is out of the picker before its SubConn is shut down.
func TestRemovalPublishesFirst(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b"))
	bringUp(r.cc)
	r.time.fire()
	r.cc.keepAll = true
	r.must(r.resolve("a"))
	if got := r.picks(2); got["a"] != 2 {
		t.Errorf("picks = %v", got)
	}
}

func TestResolveNowIsCoalesced(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b", "c"))
	for _, sc := range r.cc.live() {
		sc.fails(errRefused)
	}
	if r.cc.resolves != 1 {
		t.Errorf("asked the resolver %d times, want once", r.cc.resolves)
	}
	r.time.fire()
	bringUp(r.cc)
	r.cc.live()[0].becomes(connectivity.Idle)
	if r.cc.resolves != 2 {
		t.Errorf("asked the resolver %d times, want a second one for the exit", r.cc.resolves)
	}
}

func TestRoundRobinIsInTurnAcrossPickers(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	first, _ := r.pick()
	second, _ := r.pick()
	r.lb.Close() // idle
	r.build()
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	third, _ := r.pick()
	if got := []string{first, second, third}; len(slices.Compact(slices.Sorted(slices.Values(got)))) != 3 {
		t.Errorf("picked %v, want each once", got)
	}
}

func TestLeastRequest(t *testing.T) {
	for _, choices := range []int{2, 3, 5, 10} {
		r := newRig(t, leastRequestConfig(choices))
		r.must(r.resolve(addresses(7)...))
		bringUp(r.cc)
		r.time.fire()
		var done []func(balancer.DoneInfo)
		for range 700 {
			res, err := r.cc.last().Picker.Pick(balancer.PickInfo{})
			r.must(err)
			done = append(done, res.Done)
		}
		for _, e := range r.ch.Endpoints() {
			if e.InFlight < 90 || e.InFlight > 110 {
				t.Errorf("d=%d: %d calls at %s, want about 100", choices, e.InFlight, e.Endpoint.ID())
			}
		}
		for _, f := range done {
			f(balancer.DoneInfo{})
		}
		for _, e := range r.ch.Endpoints() {
			if e.InFlight != 0 {
				t.Errorf("d=%d: %d calls at %s are left", choices, e.InFlight, e.Endpoint.ID())
			}
		}
	}
}

func TestPickersDoNotAllocate(t *testing.T) {
	for _, cfg := range []Config{roundRobinConfig(), leastRequestConfig(2), leastRequestConfig(3), leastRequestConfig(10)} {
		r := newRig(t, cfg)
		r.must(r.resolve(addresses(5)...))
		bringUp(r.cc)
		p, info := r.cc.last().Picker, balancer.PickInfo{Ctx: context.Background()}
		if n := testing.AllocsPerRun(100, func() {
			if res, _ := p.Pick(info); res.Done != nil {
				res.Done(balancer.DoneInfo{})
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", cfg.arm(), n)
		}
	}
}

func TestDivisor(t *testing.T) {
	for n := 1; n < 3000; n += 1 + n/7 {
		d := newDivisor(n)
		for _, x := range []uint32{0, 1, 2, uint32(n) - 1, uint32(n), uint32(n) + 1, 1 << 31, ^uint32(0) - 1, ^uint32(0)} {
			if got, want := d.mod(x), x%uint32(n); got != want {
				t.Fatalf("%d mod %d = %d, want %d", x, n, got, want)
			}
		}
	}
}

// A switch among the pickers of the pool touches no connection and forgets no endpoint.
func TestSwitchOfPickersKeepsEverything(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	before := r.cc.live()
	for _, cfg := range []Config{leastRequestConfig(2), leastRequestConfig(5), roundRobinConfig()} {
		r.ch.Configure(cfg)
		r.must(r.resolve("a", "b", "c"))
		if !slices.Equal(before, r.cc.live()) {
			t.Fatal("SubConns were replaced")
		}
		if got := slices.Sorted(maps.Keys(r.picks(300))); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("%s picks %v", cfg.arm(), got)
		}
		isLeast := false
		if p, ok := r.cc.last().Picker.(*picker); ok {
			_, isLeast = p.rule.(*leastRequest)
		}
		if isLeast != (cfg.arm() == armLeastRequest) {
			t.Errorf("%s has a %T", cfg.arm(), r.cc.last().Picker)
		}
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t, withHealth(roundRobinConfig(), "svc"))
	r.must(r.resolve("a"))
	sc := r.cc.at(t, "a")
	sc.fails(errRefused)
	sc.becomes(connectivity.Ready)
	r.wantState(connectivity.Connecting) // the transport is there, the verdict is not
	sc.healthy(connectivity.Connecting, nil)
	sc.healthy(connectivity.Ready, nil)
	r.wantState(connectivity.Ready)
	sc.healthy(connectivity.TransientFailure, errors.New("NOT_SERVING"))
	r.wantState(connectivity.TransientFailure)
	r.wantPickError(`a: health check of service "svc": NOT_SERVING`)
	sc.healthy(connectivity.Connecting, nil)
	r.wantState(connectivity.TransientFailure)
	stale := sc.health
	sc.becomes(connectivity.Idle)
	sc.becomes(connectivity.Connecting)
	r.wantState(connectivity.TransientFailure)
	stale(balancer.SubConnState{ConnectivityState: connectivity.Ready})
	r.wantState(connectivity.TransientFailure)
	sc.becomes(connectivity.Ready)
	if sc.listens != 2 {
		t.Errorf("%d listeners, want one for each READY", sc.listens)
	}
}

func TestHealthIsRenewed(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b"))
	bringUp(r.cc)
	r.time.fire()
	a, b := r.cc.at(t, "a"), r.cc.at(t, "b")
	if a.listens != 0 {
		t.Error("health is watched although nobody asked")
	}
	r.ch.Configure(withHealth(roundRobinConfig(), "one"))
	r.must(r.resolve("a", "b"))
	if a.listens != 1 || b.listens != 1 {
		t.Fatalf("%d and %d listeners, want 1 and 1", a.listens, b.listens)
	}
	a.healthy(connectivity.Connecting, nil)
	if got := r.ch.Status().Ready; got != 2 {
		t.Errorf("Ready = %d until the new listener decides, want 2", got)
	}
	stale := a.health
	a.healthy(connectivity.TransientFailure, errors.New("NOT_SERVING"))
	r.ch.Configure(withHealth(roundRobinConfig(), "two"))
	r.must(r.resolve("a", "b"))
	stale(balancer.SubConnState{ConnectivityState: connectivity.Ready})
	if got := r.ch.Status(); got.Ready != 1 || got.Failed != 1 {
		t.Errorf("status = %+v: a listener that was replaced is heard", got)
	}
	r.ch.Configure(roundRobinConfig())
	r.must(r.resolve("a", "b"))
	r.time.fire()
	if got := r.ch.Status().Ready; got != 2 || a.health != nil {
		t.Errorf("Ready = %d without health checks, want 2", got)
	}
	if got := r.picks(4); got["a"] != 2 || got["b"] != 2 {
		t.Errorf("picks = %v", got)
	}
}

func TestRecordsSurviveIdleness(t *testing.T) {
	r := newRig(t, leastRequestConfig(2))
	r.must(r.resolve("a", "b"))
	r.cc.at(t, "a").becomes(connectivity.Connecting)
	r.cc.at(t, "a").fails(errRefused)
	bringUp(r.cc)
	r.time.fire()
	res, err := r.cc.last().Picker.Pick(balancer.PickInfo{})
	r.must(err)
	r.lb.Close()
	r.build()
	r.must(r.resolve("b", "a"))
	bringUp(r.cc)
	var inFlight int64
	for _, e := range r.ch.Endpoints() {
		inFlight += e.InFlight
		if e.Endpoint.ID() == "a" && (e.Attempts != 3 || e.LastError == nil) || e.State != connectivity.Ready {
			t.Errorf("endpoint = %+v", e)
		}
	}
	if inFlight != 1 {
		t.Errorf("in flight = %d, want 1", inFlight)
	}
	res.Done(balancer.DoneInfo{})
	r.must(r.resolve("b"))
	r.must(r.resolve("b", "a"))
	if got := r.ch.Endpoints()[1]; got.Attempts != 0 || got.LastError != nil {
		t.Errorf("an endpoint that came back remembers: %+v", got)
	}
}

func TestChanged(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	c := r.ch.Changed()
	if c != r.ch.Changed() || isClosed(c) {
		t.Fatal("Changed is not one channel until the next change")
	}
	r.must(r.resolve("a"))
	if !isClosed(c) {
		t.Error("an update is no change")
	}
	c = r.ch.Changed()
	r.cc.at(t, "a").becomes(connectivity.Ready)
	if !isClosed(c) {
		t.Error("READY is no change")
	}
	c = r.ch.Changed()
	r.lb.ExitIdle()
	if isClosed(c) {
		t.Error("nothing is a change")
	}
	r.lb.Close()
	if !isClosed(c) {
		t.Error("Close is no change")
	}
}

// Without a Channel in the state the policy works by itself; so it does beside a balancer that uses the Channel.
func TestWithoutChannel(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a"))
	for _, state := range []resolver.State{stateOf("a", "b"), {Attributes: r.ch.Attach(nil), Endpoints: stateOf("a", "b").Endpoints}} {
		cc := new(fakeConn)
		lb := builder{}.Build(cc, balancer.BuildOptions{})
		r.must(lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: state}))
		bringUp(cc)
		if got := cc.last().ConnectivityState; got != connectivity.Ready {
			t.Errorf("state = %v", got)
		}
		lb.Close()
	}
	if got := r.ch.Status(); got.Total != 1 || got.Ready != 0 {
		t.Errorf("the channel follows another balancer: %+v", got)
	}
}

func TestRefusedSubConn(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.cc.refuse = errors.New("closing")
	r.must(r.resolve("a"))
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("a: closing")
	r.lb.ExitIdle()
	r.lb.Close()
}
