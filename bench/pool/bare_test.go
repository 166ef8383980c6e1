package pool_test

import (
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/goresilient/goresilient/bench/internal/fake"
)

// bareName is a policy that does no more than connect to each endpoint, and lets calls go round once all are READY: the floor of
// what a bring-up takes.
const bareName = "bench_bare"

func init() { balancer.Register(bareBuilder{}) }

type bareBuilder struct{}

func (bareBuilder) Name() string { return bareName }

func (bareBuilder) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	return &bareBalancer{cc: cc}
}

// bareBalancer takes one list.
type bareBalancer struct {
	cc    balancer.ClientConn
	conns []balancer.SubConn

	mu    sync.Mutex // guards ready
	ready int
}

func (b *bareBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	for _, e := range s.ResolverState.Endpoints {
		//lint:ignore SA1019 there is no other way to make a SubConn
		sc, err := b.cc.NewSubConn(e.Addresses, balancer.NewSubConnOptions{StateListener: b.listen})
		if err != nil {
			return err
		}
		b.conns = append(b.conns, sc)
	}
	for _, sc := range b.conns {
		sc.Connect()
	}
	return nil
}

func (b *bareBalancer) listen(s balancer.SubConnState) {
	if s.ConnectivityState != connectivity.Ready {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready++; b.ready == len(b.conns) {
		b.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Ready, Picker: &turns{conns: b.conns}})
	}
}

func (*bareBalancer) ResolverError(error)                                        {}
func (*bareBalancer) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}
func (*bareBalancer) ExitIdle()                                                  {}
func (*bareBalancer) Close()                                                     {}

type turns struct {
	conns []balancer.SubConn
	mu    sync.Mutex // guards next
	next  int
}

// Pick implements [balancer.Picker].
func (p *turns) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = (p.next + 1) % len(p.conns)
	return balancer.PickResult{SubConn: p.conns[p.next]}, nil
}

// bare connects by the policy of this file.
func (m *many) bare(tb testing.TB, n int) connected { return m.plain(tb, n, bareName) }

// grpc connects by grpc's round_robin.
func (m *many) grpc(tb testing.TB, n int) connected { return m.plain(tb, n, "round_robin") }

// plain connects by a policy that is registered with grpc.
func (m *many) plain(tb testing.TB, n int, policy string) connected {
	list := manual.NewBuilderWithScheme("list")
	var state resolver.State
	for _, a := range fake.Addresses(n) {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	list.InitialState(state)
	conn, err := grpc.NewClient("list:///"+fake.Service, append(buffers, grpc.WithResolvers(list), grpc.WithContextDialer(m.dial),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+policy+`":{}}]}`), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		tb.Fatal(err)
	}
	return connected{conn, conn.Close}
}
