package balancer

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/policy"
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
	state  func(addrs []string) resolver.State
	update func(resolver.State) error
	close  func()
	settle func() // returns once everything is published
}

func ours(b *testing.B) subject { return oursWith(roundRobinConfig()) }

// everything is ours with all that looks at endpoints turned on: outlier detection, failover, zones, slow start and, beyond
// 9 000 endpoints, a subset. One endpoint in twenty is of a worse priority, and the rest stands in three zones.
func everything(b *testing.B) subject {
	s := oursWith(Config{
		LoadBalancing: &policy.LoadBalancing{
			RoundRobin: &policy.RoundRobin{},
			SubsetSize: policy.Set(9_000),
			ZoneAware:  &policy.ZoneAware{},
			SlowStart:  &policy.SlowStart{},
			Failover:   &policy.Failover{},
		},
		OutlierDetection: policy.Complete(&policy.Service{OutlierDetection: &policy.OutlierDetection{
			FailureRatio: policy.Set(.5), SuccessRateStdevFactor: policy.Set(3.), LatencyFactor: policy.Set(3.),
		}}).OutlierDetection,
		Zone: "zone-1",
	})
	s.state = func(addrs []string) resolver.State {
		list := make([]site, len(addrs))
		for i, addr := range addrs {
			list[i] = site{addr: addr, zone: fmt.Sprintf("zone-%d", i%3)}
			if i%20 == 0 {
				list[i].priority = 1
			}
		}
		return siteState(b, list)
	}
	return s
}

func oursWith(cfg Config) subject {
	cc := new(fakeConn)
	timers := new(manualTime)
	ch := NewChannel(cfg, Options{AfterFunc: timers.afterFunc, Now: timers.now})
	lb := builder{}.Build(cc, balancer.BuildOptions{})
	return subject{
		cc:    cc,
		state: stateOfList,
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
	return subject{cc: cc, state: stateOfList, update: p.update, close: p.Close, settle: func() {}}
}

func benchmarkPool(b *testing.B, f func(b *testing.B, n int, make func(*testing.B) subject)) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("endpoints=%d/goresilient", n), func(b *testing.B) { f(b, n, ours) })
		b.Run(fmt.Sprintf("endpoints=%d/everything", n), func(b *testing.B) { f(b, n, everything) })
		if n <= peerLimit() {
			b.Run(fmt.Sprintf("endpoints=%d/grpc", n), func(b *testing.B) { f(b, n, grpcs) })
		}
	}
}

// up returns a subject with n READY endpoints.
func up(b *testing.B, s subject, addrs []string) subject {
	return upWith(b, s, s.state(addrs))
}

func upWith(b *testing.B, s subject, state resolver.State) subject {
	if err := s.update(state); err != nil {
		b.Fatal(err)
	}
	bringUp(s.cc)
	s.settle()
	return s
}

func stateOfList(addrs []string) resolver.State { return stateOf(addrs...) }

func BenchmarkPoolBringUp(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		state := make(b).state(addrs)
		for b.Loop() {
			upWith(b, make(b), state).close()
		}
	})
}

func BenchmarkPoolReplaceOne(b *testing.B) {
	benchmarkPool(b, func(b *testing.B, n int, make func(*testing.B) subject) {
		addrs := addresses(n)
		s := up(b, make(b), addrs)
		defer s.close()
		states := []resolver.State{{}, s.state(addrs)}
		addrs[n/2+1] = "10.255.0.1:443"
		states[0] = s.state(addrs)
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
		state := s.state(addrs)
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
		res, err := s.cc.last().Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil {
			b.Fatal(err)
		}
		sc := res.SubConn.(*fakeSubConn)
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
		for b.Loop() {
			s := make(b)
			state := s.state(addrs)
			bare := float64(heapOf(func() {
				for i := range addrs {
					s.cc.NewSubConn(state.Endpoints[i].Addresses, balancer.NewSubConnOptions{})
				}
			}))
			s.cc.conns = nil
			grown := float64(heapOf(func() { upWith(b, s, state) }))
			runtime.KeepAlive(state)
			b.ReportMetric((grown-bare)/float64(n), "heap-B/endpoint")
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
