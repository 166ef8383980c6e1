package pool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/bench/internal/fake"
	"github.com/goresilient/goresilient/runtime/discovery"
)

// registered is a balancer whose endpoints come from a registry, by way of the resolver.
type registered struct {
	registry *discovery.Registry
	subject  *fake.Subject
	up       bool          // of the resolver's goroutine
	updated  chan struct{} // one value for each update that is through, its new SubConns READY
}

func newRegistered(tb testing.TB, of side, n int) *registered {
	r := &registered{registry: discovery.NewRegistry(), subject: of.make(tb, n), updated: make(chan struct{}, 1)}
	tb.Cleanup(r.registry.Close)
	tb.Cleanup(r.subject.Close)
	fake.Register(tb, r.registry, fake.Endpoints(n))
	tb.Cleanup(fake.Feed(tb, r.registry, func(s resolver.State) error {
		r.subject.Update(tb, s)
		r.connect()
		r.subject.Settle()
		r.updated <- struct{}{}
		return nil
	}))
	<-r.updated
	return r
}

// connect makes those READY that are not. After the first update that is at most the one that was made last.
func (r *registered) connect() {
	if newest := r.subject.Conn.Newest(); r.up && newest.Addr == added {
		newest.Connects()
	}
	if !r.up {
		r.up = true
		for _, sc := range r.subject.Conn.Live() {
			sc.Connects()
		}
	}
}

// added is the address of the endpoint that comes and goes.
const added = "10.255.0.1:443"

// add registers one more endpoint and returns once the balancer sends calls to it.
func (r *registered) add(tb testing.TB) {
	endpoint := discovery.Endpoint{Addresses: []string{added}, Zone: "zone-0"}
	if _, err := r.registry.Put(fake.Service, "new", endpoint); err != nil {
		tb.Fatal(err)
	}
	<-r.updated
}

// remove takes it away again.
func (r *registered) remove(tb testing.TB) {
	if _, _, err := r.registry.Delete(fake.Service, "new"); err != nil {
		tb.Fatal(err)
	}
	<-r.updated
}

// BenchmarkRegister is one endpoint that registers among many: from the registry through the resolver and the balancer to
// the picker that knows it.
//
//	go test ./pool -run '^$' -bench Register
func BenchmarkRegister(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		sides := []side{alone(0), everything(len(arms) - 1)}
		if n < quadratic || *full {
			sides = append(sides, grpcRoundRobin)
		}
		for _, of := range sides {
			b.Run(fmt.Sprintf("endpoints=%d/%s", n, of.name), func(b *testing.B) {
				r := newRegistered(b, of, n)
				var took []time.Duration
				for b.Loop() {
					start := time.Now()
					r.add(b)
					took = append(took, time.Since(start))
					r.remove(b)
				}
				slices.Sort(took)
				median := took[len(took)/2]
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(median)/1000, "µs")
				b.ReportMetric(float64(median)/float64(n), "ns/unchanged")
			})
		}
	}
}
