package balancer

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/policy"
)

func TestMakeBeforeBreak(t *testing.T) {
	tests := []struct {
		name     string
		from, to Config
	}{
		{"round_robin to pick_first", roundRobinConfig(), pickFirstConfig()},
		{"pick_first to round_robin", pickFirstConfig(), roundRobinConfig()},
		{"least_request to custom", leastRequestConfig(2), customConfig("round_robin", "{}")},
		{"custom to pick_first", customConfig("round_robin", "{}"), pickFirstConfig()},
		{"custom to custom", customConfig("round_robin", "{}"), customConfig("least_request_experimental", `{"choiceCount":3}`)},
		{"pick_first with another health service", pickFirstConfig(), withHealth(pickFirstConfig(), "svc")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.from)
			r.must(r.resolve("a", "b"))
			bringUp(r.cc)
			r.wantState(connectivity.Ready)
			old := r.cc.live()

			r.ch.Configure(tt.to)
			r.must(r.resolve("a", "b"))
			r.wantState(connectivity.Ready)
			for _, sc := range old {
				if sc.state != connectivity.Ready {
					t.Fatalf("%v is given up before the new policy serves", sc)
				}
			}
			for _, sc := range r.cc.live() {
				if !slices.Contains(old, sc) {
					sc.becomes(connectivity.Connecting)
					sc.fails(errRefused)
				}
			}
			r.wantState(connectivity.Ready)
			if got := r.ch.Status().Ready; got == 0 {
				t.Error("the status follows a policy that does not serve")
			}
			for _, sc := range r.cc.live() {
				if !slices.Contains(old, sc) {
					sc.becomes(connectivity.Idle)
					sc.becomes(connectivity.Connecting)
					sc.becomes(connectivity.Ready)
					if sc.health != nil {
						sc.healthy(connectivity.Ready, nil)
					}
				}
			}
			r.wantState(connectivity.Ready)
			r.lb.ExitIdle() // runs what is left for later
			for _, sc := range old {
				if sc.state != connectivity.Shutdown {
					t.Errorf("%v is left over", sc)
				}
			}
			r.picks(3)
			if got := r.ch.Status(); got.Ready == 0 || got.Total != 2 {
				t.Errorf("status = %+v", got)
			}
			r.lb.Close()
			if left := r.cc.live(); len(left) > 0 {
				t.Errorf("Close left %v", left)
			}
		})
	}
}

// Where the old policy does not serve, there is nothing to keep: the new one takes over with whatever it reports.
func TestSwitchWithoutReady(t *testing.T) {
	for _, lost := range []string{"before", "after"} {
		r := newRig(t, roundRobinConfig())
		r.must(r.resolve("a"))
		bringUp(r.cc)
		old := r.cc.at(t, "a")
		if lost == "before" {
			old.becomes(connectivity.Idle)
		}
		r.ch.Configure(pickFirstConfig())
		r.must(r.resolve("a"))
		if lost == "after" {
			old.becomes(connectivity.Idle)
		}
		r.wantState(connectivity.Connecting)
		r.time.fire()
		r.lb.ExitIdle() // runs what is left for later
		if old.state != connectivity.Shutdown {
			t.Errorf("lost %s: the old policy still runs", lost)
		}
		r.cc.at(t, "a").becomes(connectivity.Connecting)
		r.cc.at(t, "a").fails(errRefused)
		r.wantState(connectivity.TransientFailure)
		if got := r.ch.Status(); got.Failed != 1 {
			t.Errorf("status = %+v", got)
		}
		r.lb.Close()
	}
}

// A switch that is taken back leaves the serving policy as it was.
func TestSwitchTakenBack(t *testing.T) {
	for _, cfg := range []Config{roundRobinConfig(), pickFirstConfig(), customConfig("round_robin", "{}")} {
		r := newRig(t, cfg)
		r.must(r.resolve("a"))
		bringUp(r.cc)
		old := r.cc.live()
		for _, other := range []Config{customConfig("least_request_experimental", "{}"), roundRobinConfig(), pickFirstConfig()} {
			r.ch.Configure(other)
			r.must(r.resolve("a"))
		}
		r.ch.Configure(cfg)
		r.must(r.resolve("a"))
		if got := r.cc.live(); !slices.Equal(got, old) {
			t.Errorf("%s: connections %v, want %v", cfg.arm(), got, old)
		}
		r.wantState(connectivity.Ready)
		r.lb.Close()
	}
}

// Endpoints that leave during a switch leave both policies.
func TestUpdateDuringSwitch(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a", "b"))
	bringUp(r.cc)
	r.time.fire()
	r.ch.Configure(customConfig("round_robin", "{}"))
	r.must(r.resolve("a", "b"))
	r.must(r.resolve("b"))
	for _, sc := range r.cc.live() {
		if sc.addrs[0].Addr == "a" {
			t.Errorf("%v is left", sc)
		}
	}
	if got := r.picks(2); got["b"] != 2 {
		t.Errorf("picks = %v", got)
	}
	if err := r.resolve(); err != balancer.ErrBadResolverState {
		t.Errorf("error = %v", err)
	}
	r.wantState(connectivity.TransientFailure)
	r.lb.Close()
}

func TestPickFirst(t *testing.T) {
	r := newRig(t, pickFirstConfig())
	r.must(r.resolve("a", "b"))
	a := r.cc.at(t, "a")
	a.becomes(connectivity.Connecting)
	a.fails(errRefused)
	b := r.cc.at(t, "b")
	b.becomes(connectivity.Connecting)
	if got := r.ch.Status(); got.State != connectivity.Connecting || got.Failed != 1 || got.Total != 2 {
		t.Errorf("status = %+v", got)
	}
	b.becomes(connectivity.Ready)
	if got := r.ch.Status(); got.State != connectivity.Ready || got.Ready != 1 {
		t.Errorf("status = %+v", got)
	}
	es := r.ch.Endpoints()
	if es[0].State != connectivity.TransientFailure || es[0].Attempts != 1 || !errors.Is(es[0].LastError, errRefused) ||
		es[1].State != connectivity.Ready || es[1].Attempts != 1 {
		t.Errorf("endpoints = %+v", es)
	}
	// Attributes that change leave the connection alone.
	s := stateOf("a", "b")
	s.Endpoints[1].Addresses[0].Attributes = attributes.New(behind{}, 1)
	r.must(r.push(s))
	s.Endpoints = append(s.Endpoints, stateOf("c").Endpoints...)
	r.must(r.push(s))
	if b.state != connectivity.Ready {
		t.Error("a change of attributes took the connection away")
	}
	r.must(r.resolve("b"))
	r.wantState(connectivity.Ready)
	b.becomes(connectivity.Idle)
	r.wantState(connectivity.Idle)
	r.lb.ExitIdle()
	r.wantState(connectivity.Connecting)
	r.lb.ResolverError(errors.New("no such host"))
	if err := r.resolve(); err != balancer.ErrBadResolverState {
		t.Errorf("error = %v", err)
	}
	r.wantPickError("zero addresses")
	r.lb.Close()
}

func TestPickFirstShuffleIsConfigured(t *testing.T) {
	cfg := pickFirstConfig()
	cfg.LoadBalancing.PickFirst.Shuffle = policy.Set(true)
	if err := ValidateConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if got := string(cfg.policyJSON()); got != `{"shuffleAddressList":true}` {
		t.Errorf("configuration = %s", got)
	}
}

// An endpoint of several addresses is one target: pick_first finds the address, the pool watches its health.
func TestSeveralAddresses(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	s := stateOf("a", "c")
	s.Endpoints[0].Addresses = append(s.Endpoints[0].Addresses, resolver.Address{Addr: "b"})
	r.must(r.push(s))
	r.must(r.push(s))
	a, c := r.cc.at(t, "a"), r.cc.at(t, "c")
	c.becomes(connectivity.Connecting)
	c.becomes(connectivity.Ready)
	a.becomes(connectivity.Connecting)
	a.fails(errRefused)
	b := r.cc.at(t, "b")
	b.becomes(connectivity.Connecting)
	b.fails(errors.New("no route"))
	if got := r.ch.Status(); got.Failed != 1 || got.Ready != 1 {
		t.Errorf("status = %+v", got)
	}
	a.becomes(connectivity.Idle)
	a.becomes(connectivity.Connecting)
	a.becomes(connectivity.Ready)
	r.time.fire()
	if got := r.picks(4); got["a"] != 2 || got["c"] != 2 {
		t.Errorf("picks = %v", got)
	}
	e := r.ch.Endpoints()[0]
	if e.Endpoint.ID() != "a+b" || e.Attempts != 3 || e.LastError.Error() != "b: no route" || e.State != connectivity.Ready {
		t.Errorf("endpoint = %+v", e)
	}

	r.ch.Configure(withHealth(roundRobinConfig(), "svc"))
	r.must(r.push(s))
	a.healthy(connectivity.TransientFailure, errors.New("NOT_SERVING"))
	r.time.fire()
	if got := r.picks(4); got["c"] != 4 {
		t.Errorf("picks = %v of an unhealthy endpoint", got)
	}
	a.healthy(connectivity.Ready, nil)
	a.becomes(connectivity.Idle)
	if got := r.ch.Endpoints()[0].State; got == connectivity.Ready {
		t.Error("the loss of the connection goes unseen")
	}
	a.becomes(connectivity.Connecting)
	a.becomes(connectivity.Ready)
	if a.health == nil || a.listens != 2 {
		t.Fatalf("%d health listeners, want one for each READY", a.listens)
	}
	a.healthy(connectivity.Ready, nil)
	r.time.fire()
	if got := r.picks(4); got["a"] != 2 {
		t.Errorf("picks = %v", got)
	}
	r.lb.ExitIdle()
	r.lb.ResolverError(errors.New("no such host"))
	r.must(r.resolve("c"))
	if left := r.cc.live(); len(left) != 1 || left[0] != c {
		t.Errorf("SubConns left: %v", left)
	}
	r.lb.Close()
}

func TestUnregisteredPolicy(t *testing.T) {
	r := newRig(t, customConfig("nobody", "{}"))
	if err := r.resolve("a"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("error = %v", err)
	}
	r.wantState(connectivity.TransientFailure)
	r.wantPickError(`no policy is registered with grpc as "nobody"; import`)
	r.ch.Configure(roundRobinConfig())
	r.must(r.resolve("a"))
	bringUp(r.cc)
	r.wantState(connectivity.Ready)
	r.ch.Configure(customConfig("nobody", "{}"))
	if err := r.resolve("a", "b"); err == nil {
		t.Error("no error")
	}
	r.wantState(connectivity.Ready)
	if got := connected(r.cc); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the policy that goes on is connected to %v", got)
	}
	r.lb.Close()
}

// probe is a policy that checks grpc's promises: its methods are never called concurrently, nor after Close. It calls
// back with its own lock held, from its methods and from goroutines of its own.
type probe struct {
	cc      balancer.ClientConn
	running atomic.Int32
	closed  atomic.Bool
	mu      sync.Mutex
	own     sync.WaitGroup
	state   resolver.State
}

const probeName = "goresilient_probe"

type probeBuilder struct{ built chan *probe }

func (b probeBuilder) Name() string { return probeName }
func (b probeBuilder) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	p := &probe{cc: cc}
	cc.UpdateState(balancer.State{ConnectivityState: connectivity.Connecting, Picker: waiting{}})
	b.built <- p
	return p
}

var probePolicy = probeBuilder{make(chan *probe, 100)}

func init() { balancer.Register(probePolicy) }

// enter marks a call into the probe; what it returns ends it.
func (p *probe) enter() func() {
	if p.running.Add(1) != 1 || p.closed.Load() {
		panic("called concurrently, or after Close")
	}
	p.mu.Lock()
	return func() { p.mu.Unlock(); p.running.Add(-1) }
}

func (p *probe) UpdateClientConnState(s balancer.ClientConnState) error {
	defer p.enter()()
	p.state = s.ResolverState
	for _, a := range p.state.Addresses {
		//lint:ignore SA1019 there is no other way to make a SubConn
		sc, err := p.cc.NewSubConn([]resolver.Address{a}, balancer.NewSubConnOptions{}) // without a listener
		if err != nil {
			return err
		}
		sc.Connect()
	}
	p.cc.ResolveNow(resolver.ResolveNowOptions{})
	p.own.Go(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Connecting, Picker: waiting{}})
	})
	return nil
}

func (p *probe) ResolverError(error) { defer p.enter()() }
func (p *probe) ExitIdle()           { defer p.enter()() }
func (p *probe) Close() {
	defer p.enter()()
	p.closed.Store(true)
}

func (p *probe) UpdateSubConnState(sc balancer.SubConn, s balancer.SubConnState) {
	defer p.enter()()
	p.cc.UpdateState(balancer.State{ConnectivityState: s.ConnectivityState, Picker: failing{errRefused}})
	if s.ConnectivityState == connectivity.TransientFailure {
		//lint:ignore SA1019 policies of others may call it
		p.cc.RemoveSubConn(sc)
	}
}

func TestChildIsCalledAsGrpcPromises(t *testing.T) {
	r := newRig(t, customConfig(probeName, "{}"))
	r.must(r.resolve("a", "b"))
	p := <-probePolicy.built
	if len(p.state.Addresses) != 2 {
		t.Errorf("Addresses = %v, want those of the endpoints", p.state.Addresses)
	}
	var events sync.WaitGroup
	for _, sc := range r.cc.live() {
		events.Go(func() {
			sc.becomes(connectivity.Connecting)
			sc.becomes(connectivity.Ready)
			sc.fails(errRefused)
			sc.becomes(connectivity.Shutdown)
		})
	}
	events.Go(r.lb.ExitIdle)
	events.Go(func() { r.lb.ResolverError(errRefused) })
	events.Go(func() { r.ch.Endpoints(); r.ch.Status() })
	events.Wait()
	if got := r.ch.Status(); got.Failed != 2 {
		t.Errorf("status = %+v", got)
	}
	r.must(r.resolve("c"))
	r.lb.Close()
	p.own.Wait()
	r.cc.conns = nil
	//lint:ignore SA1019 there is no other way to make a SubConn
	if _, err := p.cc.NewSubConn(stateOf("a").Endpoints[0].Addresses, balancer.NewSubConnOptions{}); err == nil {
		t.Error("a closed policy makes SubConns")
	}
	p.cc.ResolveNow(resolver.ResolveNowOptions{})
	p.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Ready, Picker: waiting{}})
	if got := r.ch.Status().State; got != connectivity.Idle {
		t.Errorf("state = %v: a closed policy publishes", got)
	}
	if !p.closed.Load() {
		t.Error("the policy is not closed")
	}
}
