package fake

import (
	"fmt"
	"net/url"
	"testing"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// Service is the name under which endpoints are registered.
const Service = "inventory"

// Feed runs the resolver of a registry in memory. take is given each state that the resolver pushes, in its goroutine.
func Feed(tb testing.TB, registry *discovery.Registry, take func(resolver.State) error) (stop func()) {
	target := resolver.Target{URL: url.URL{Scheme: "memory", Path: "/" + Service}}
	r, err := discovery.NewMemoryBuilder(registry).Build(target, resolverConn{take: take, failed: tb.Error}, resolver.BuildOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return r.Close
}

// resolverConn is a grpc channel as a resolver sees it.
type resolverConn struct {
	resolver.ClientConn
	take   func(resolver.State) error
	failed func(...any)
}

// UpdateState implements [resolver.ClientConn].
func (c resolverConn) UpdateState(s resolver.State) error { return c.take(s) }

// ReportError implements [resolver.ClientConn].
func (c resolverConn) ReportError(err error) { c.failed(err) }

// ParseServiceConfig implements [resolver.ClientConn].
func (c resolverConn) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Err: fmt.Errorf("there is no service config here")}
}

// Endpoints returns n endpoints in two zones. All but the last are of the best priority.
func Endpoints(n int) []discovery.Endpoint {
	out := make([]discovery.Endpoint, n)
	for i, a := range Addresses(n) {
		out[i] = discovery.Endpoint{Addresses: []string{a}, Zone: fmt.Sprint("zone-", i%2)}
	}
	out[n-1].Priority = 1
	return out
}

// Register registers endpoints at one revision, under keys in their order.
func Register(tb testing.TB, registry *discovery.Registry, endpoints []discovery.Endpoint) {
	ops := make([]discovery.Op, len(endpoints))
	for i, e := range endpoints {
		ops[i] = discovery.PutOp(Service, Key(i), e)
	}
	if _, _, err := registry.Txn(nil, ops...); err != nil {
		tb.Fatal(err)
	}
}

// Key is under which endpoint i is registered.
func Key(i int) string { return fmt.Sprintf("%06d", i) }

// Resolved returns what the resolver says of endpoints. A balancer that reads addresses alone is served as well.
func Resolved(tb testing.TB, endpoints []discovery.Endpoint) resolver.State {
	registry := discovery.NewRegistry()
	defer registry.Close()
	Register(tb, registry, endpoints)
	states := make(chan resolver.State, 1)
	defer Feed(tb, registry, func(s resolver.State) error {
		select {
		case states <- s:
		default:
		}
		return nil
	})()
	state := <-states
	if len(state.Endpoints) != len(endpoints) {
		tb.Fatalf("the resolver lists %d endpoints, want %d", len(state.Endpoints), len(endpoints))
	}
	return state
}
