package balancer

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// peerLimit is up to how many endpoints grpc's policies are measured: bringing them up is quadratic, and takes tens of
// seconds for 10 000. GORESILIENT_BENCH_PEER raises it.
//
//	GORESILIENT_BENCH_PEER=10000 go test ./runtime/balancer -run '^$' -bench Pool -benchtime 1x
func peerLimit() int {
	if n, err := strconv.Atoi(os.Getenv("GORESILIENT_BENCH_PEER")); err == nil {
		return n
	}
	return 1_000
}

// subject is a balancer under measurement: ours or grpc's.
type subject struct {
	cc     *fakeConn
	update func(resolver.State) error
	close  func()
	settle func() // returns once everything is published
}

func ours(b *testing.B) subject {
	cc := new(fakeConn)
	timers := new(manualTime)
	ch := NewChannel(roundRobinConfig(), Options{AfterFunc: timers.afterFunc})
	lb := builder{}.Build(cc, balancer.BuildOptions{})
	return subject{
		cc: cc,
		update: func(s resolver.State) error {
			s.Attributes = ch.Attach(s.Attributes)
			return lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: s})
		},
		close:  lb.Close,
		settle: timers.fire,
	}
}

func grpcs(b *testing.B) subject {
	cc := new(fakeConn)
	p := newPeer(b, cc, "round_robin", "{}")
	return subject{cc: cc, update: p.update, close: p.Close, settle: func() {}}
}

func benchmarkPool(b *testing.B, f func(b *testing.B, n int, make func(*testing.B) subject)) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("endpoints=%d/goresilient", n), func(b *testing.B) { f(b, n, ours) })
		if n <= peerLimit() {
			b.Run(fmt.Sprintf("endpoints=%d/grpc", n), func(b *testing.B) { f(b, n, grpcs) })
		}
	}
}

// up returns a subject with n READY endpoints.
func up(b *testing.B, s subject, addrs []string) subject {
	if err := s.update(stateOf(addrs...)); err != nil {
		b.Fatal(err)
	}
	bringUp(s.cc)
	s.settle()
	return s
}

func BenchmarkPoolBringUp(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		for b.Loop() {
			up(b, make(b), addrs).close()
		}
	})
}

func BenchmarkPoolReplaceOne(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		s := up(b, make(b), addrs)
		defer s.close()
		states := []resolver.State{stateOf(addrs...), stateOf(addrs...)}
		states[0].Endpoints[n/2].Addresses[0].Addr = "10.255.0.1:443"
		for i := 0; b.Loop(); i++ {
			if err := s.update(states[i%2]); err != nil {
				b.Fatal(err)
			}
			sc := s.cc.conns[len(s.cc.conns)-1]
			sc.becomes(connectivity.Connecting)
			sc.becomes(connectivity.Ready)
			if sc.health != nil {
				sc.healthy(connectivity.Ready, nil)
			}
			s.settle()
		}
	})
}

func BenchmarkPoolSameList(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		s := up(b, make(b), addrs)
		defer s.close()
		state := stateOf(addrs...)
		for b.Loop() {
			if err := s.update(state); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPoolFlapping(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		s := up(b, make(b), addresses(n))
		defer s.close()
		sc := s.cc.live()[n/2]
		for b.Loop() {
			sc.becomes(connectivity.Idle)
			sc.becomes(connectivity.Connecting)
			sc.becomes(connectivity.Ready)
			if sc.health != nil {
				sc.healthy(connectivity.Ready, nil)
			}
			s.settle()
		}
	})
}

// BenchmarkPoolHeap reports what one endpoint adds to the heap, without the SubConn itself and the resolver's list.
func BenchmarkPoolHeap(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		state := stateOf(addrs...)
		for b.Loop() {
			s := make(b)
			bare := float64(heapOf(func() {
				for i := range addrs {
					s.cc.NewSubConn(state.Endpoints[i].Addresses, balancer.NewSubConnOptions{})
				}
			}))
			s.cc.conns = nil
			grown := float64(heapOf(func() { up(b, s, addrs) }))
			listed := float64(heapOf(func() { state = stateOf(addrs...) }))
			b.ReportMetric((grown-bare-listed)/float64(n), "heap-B/endpoint")
			s.close()
		}
	})
}

// heapOf returns how much more is live after f.
func heapOf(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}
