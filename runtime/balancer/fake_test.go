package balancer

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/policy"
)

// fakeConn is a grpc channel without connections: the test moves its SubConns from state to state.
type fakeConn struct {
	balancer.ClientConn
	mu        sync.Mutex
	conns     []*fakeSubConn // that are not shut down, in the order of their making
	published []balancer.State
	keepAll   bool // of published; otherwise the last one alone
	resolves  int
	refuse    error // of NewSubConn
}

// fakeSubConn is a connection that does what the test says.
type fakeSubConn struct {
	balancer.SubConn
	cc       *fakeConn
	addrs    []resolver.Address
	listener func(balancer.SubConnState)
	state    connectivity.State
	health   func(balancer.SubConnState)
	connects int
	listens  int // RegisterHealthListener with a listener
}

func (cc *fakeConn) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.refuse != nil {
		return nil, cc.refuse
	}
	sc := &fakeSubConn{cc: cc, addrs: addrs, listener: opts.StateListener}
	cc.conns = append(cc.conns, sc)
	return sc, nil
}

func (cc *fakeConn) UpdateState(s balancer.State) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if !cc.keepAll {
		cc.published = cc.published[:0]
	}
	cc.published = append(cc.published, s)
}

func (cc *fakeConn) ResolveNow(resolver.ResolveNowOptions) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.resolves++
}

func (cc *fakeConn) last() balancer.State {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if len(cc.published) == 0 {
		return balancer.State{}
	}
	return cc.published[len(cc.published)-1]
}

// live returns the SubConns that are not shut down.
func (cc *fakeConn) live() []*fakeSubConn {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	var out []*fakeSubConn
	for _, sc := range cc.conns {
		if sc.state != connectivity.Shutdown {
			out = append(out, sc)
		}
	}
	cc.conns = out
	return append([]*fakeSubConn(nil), out...)
}

// at returns the live SubConn to addr.
func (cc *fakeConn) at(t testing.TB, addr string) *fakeSubConn {
	t.Helper()
	for _, sc := range cc.live() {
		if sc.addrs[0].Addr == addr {
			return sc
		}
	}
	t.Fatalf("there is no SubConn to %s", addr)
	return nil
}

func (sc *fakeSubConn) Connect() {
	sc.cc.mu.Lock()
	defer sc.cc.mu.Unlock()
	sc.connects++
}

func (sc *fakeSubConn) Shutdown() {
	sc.cc.mu.Lock()
	defer sc.cc.mu.Unlock()
	sc.state = connectivity.Shutdown
}

func (sc *fakeSubConn) RegisterHealthListener(f func(balancer.SubConnState)) {
	sc.health = f
	if f != nil {
		sc.listens++
	}
}

func (sc *fakeSubConn) String() string { return fmt.Sprintf("%s(%v)", sc.addrs[0].Addr, sc.state) }

// becomes reports s to the balancer.
func (sc *fakeSubConn) becomes(s connectivity.State) {
	sc.reports(balancer.SubConnState{ConnectivityState: s})
}

// fails reports a failure to connect.
func (sc *fakeSubConn) fails(err error) {
	sc.reports(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: err})
}

func (sc *fakeSubConn) reports(s balancer.SubConnState) {
	sc.cc.mu.Lock()
	sc.state = s.ConnectivityState
	sc.cc.mu.Unlock()
	sc.listener(s)
}

// healthy has the health check of sc say s.
func (sc *fakeSubConn) healthy(s connectivity.State, err error) {
	sc.health(balancer.SubConnState{ConnectivityState: s, ConnectionError: err})
}

// manualTime is a clock that the test moves on.
type manualTime struct {
	mu     sync.Mutex
	time   time.Duration
	timers map[*manualTimer]struct{}
}

type manualTimer struct {
	at  *manualTime
	f   func()
	due time.Duration
}

func (m *manualTime) now() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(m.time)
}

func (m *manualTime) afterFunc(d time.Duration, f func()) Timer {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{m, f, m.time + d}
	if m.timers == nil {
		m.timers = make(map[*manualTimer]struct{})
	}
	m.timers[t] = struct{}{}
	return t
}

func (t *manualTimer) Stop() bool {
	t.at.mu.Lock()
	defer t.at.mu.Unlock()
	_, was := t.at.timers[t]
	delete(t.at.timers, t)
	return was
}

// fire ends all windows that are open.
func (m *manualTime) fire() { m.advance(window) }

// advance moves the clock on by d and fires what is due on the way, in order.
func (m *manualTime) advance(d time.Duration) {
	m.mu.Lock()
	end := m.time + d
	for {
		var first *manualTimer
		for t := range m.timers {
			if t.due <= end && (first == nil || t.due < first.due) {
				first = t
			}
		}
		if first == nil {
			break
		}
		delete(m.timers, first)
		m.time = max(m.time, first.due)
		m.mu.Unlock()
		first.f()
		m.mu.Lock()
	}
	m.time = end
	m.mu.Unlock()
}

// open returns how many timers run.
func (m *manualTime) open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.timers)
}

// rig is a balancer over a fake channel.
type rig struct {
	t    testing.TB
	cc   *fakeConn
	time *manualTime
	ch   *Channel
	lb   balancer.Balancer
}

func newRig(t testing.TB, cfg Config) *rig {
	r := &rig{t: t, cc: new(fakeConn), time: new(manualTime)}
	r.ch = NewChannel(cfg, Options{AfterFunc: r.time.afterFunc, Now: r.time.now})
	r.build()
	return r
}

// build makes a balancer as grpc does when a channel leaves idleness.
func (r *rig) build() { r.lb = builder{}.Build(r.cc, balancer.BuildOptions{}) }

// resolve gives the balancer one endpoint for each address.
func (r *rig) resolve(addrs ...string) error { return r.push(stateOf(addrs...)) }

func (r *rig) push(s resolver.State) error {
	s.Attributes = r.ch.Attach(s.Attributes)
	return r.lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: s})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// pick picks from the picker that was published last.
func (r *rig) pick() (string, error) {
	res, err := r.cc.last().Picker.Pick(balancer.PickInfo{})
	if err != nil {
		return "", err
	}
	if res.Done != nil {
		res.Done(balancer.DoneInfo{})
	}
	return res.SubConn.(*fakeSubConn).addrs[0].Addr, nil
}

// picks returns how often each address is picked in n picks.
func (r *rig) picks(n int) map[string]int {
	r.t.Helper()
	got := make(map[string]int)
	for range n {
		addr, err := r.pick()
		if err != nil {
			r.t.Fatal(err)
		}
		got[addr]++
	}
	return got
}

func stateOf(addrs ...string) resolver.State {
	s := resolver.State{Endpoints: make([]resolver.Endpoint, len(addrs))}
	for i, a := range addrs {
		s.Endpoints[i].Addresses = []resolver.Address{{Addr: a}}
	}
	return s
}

func roundRobinConfig() Config {
	return Config{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}}
}

func leastRequestConfig(choices int) Config {
	return Config{LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: policy.Set(choices)}}}
}

func peakEwmaConfig(decay time.Duration) Config {
	return Config{LoadBalancing: &policy.LoadBalancing{PeakEwma: &policy.PeakEwma{Decay: policy.Set(decay)}}}
}

func adaptiveConfig() Config {
	return Config{LoadBalancing: &policy.LoadBalancing{Adaptive: &policy.Adaptive{}}}
}

func pickFirstConfig() Config {
	return Config{LoadBalancing: &policy.LoadBalancing{PickFirst: &policy.PickFirst{}}}
}

func customConfig(name, js string) Config {
	return Config{LoadBalancing: &policy.LoadBalancing{Custom: &policy.Custom{Name: &name, ConfigJSON: &js}}}
}

func withHealth(cfg Config, service string) Config {
	cfg.HealthService = &service
	return cfg
}

// GetOrBuildProducer makes nothing: what a producer does is the matter of integration tests.
func (sc *fakeSubConn) GetOrBuildProducer(balancer.ProducerBuilder) (balancer.Producer, func()) {
	return nil, func() {}
}
