package pick_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	v3orcapb "github.com/cncf/xds/go/xds/data/orca/v3"
	_ "github.com/go-kratos/kratos/v2/transport/grpc" // registers its balancer
	_ "github.com/zeromicro/go-zero/zrpc"             // registers its p2c
	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/ringhash"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/bench/internal/fake"
	"github.com/goresilient/goresilient/bench/internal/kratosp2c"
	resilient "github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/policy"
)

// hashHeader is the metadata key that the hashing balancers hash.
const hashHeader = "x-user-id"

// subject is a picker under measurement.
type subject struct {
	name string
	// picker returns it over n READY endpoints.
	picker func(tb testing.TB, n int) balancer.Picker
}

// Ours, with their defaults.
var (
	roundRobin     = ours("round_robin", policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}})
	leastRequest   = ours("least_request", policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}})
	weighted       = ours("weighted_round_robin", policy.LoadBalancing{WeightedRoundRobin: &policy.WeightedRoundRobin{Blackout: policy.Set(time.Duration(0))}})
	peakEWMA       = ours("peak_ewma", policy.LoadBalancing{PeakEwma: &policy.PeakEwma{}})
	consistentHash = ours("consistent_hash", policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{}})
	adaptive       = ours("adaptive", policy.LoadBalancing{Adaptive: &policy.Adaptive{}})
)

// The peers, set alike.
var (
	grpcRoundRobin   = peer("grpc round_robin", "round_robin", "{}")
	grpcLeastRequest = peer("grpc least_request", "least_request_experimental", `{"choiceCount":2}`)
	grpcWeighted     = peer("grpc weighted_round_robin", "weighted_round_robin", `{"blackoutPeriod":"0s","weightUpdatePeriod":"1s"}`)
	grpcRingHash     = peer("grpc ring_hash", "ring_hash_experimental", `{"requestHashHeader":"`+hashHeader+`"}`)
	goZeroP2C        = peer("go-zero p2c", "p2c_ewma", "{}")
	kratosP2C        = peer("Kratos p2c", kratosp2c.Name, "{}")
)

// The floors.
var (
	floorNothing  = floor("floor: nothing", func(conns []*fake.SubConn) balancer.Picker { return nothingFloor{conns[0]} })
	floorRandom   = floor("floor: random", func(conns []*fake.SubConn) balancer.Picker { return newRandomFloor(conns) })
	floorInFlight = floor("floor: p2c by calls in flight", func(conns []*fake.SubConn) balancer.Picker { return newInFlightFloor(conns) })
	floorHeader   = floor("floor: reading a header", func(conns []*fake.SubConn) balancer.Picker { return headerFloor{conns[0]} })
	floorLatency  = floor("floor: p2c by latency, clock read twice", func(conns []*fake.SubConn) balancer.Picker { return newLatencyFloor(conns) })
)

func ours(arm string, lb policy.LoadBalancing) subject {
	return subject{"goresilient " + arm, func(tb testing.TB, n int) balancer.Picker {
		complete := policy.Complete(&policy.Service{LoadBalancing: &lb})
		return pickerOf(tb, fake.Ours(tb, resilient.Config{LoadBalancing: complete.LoadBalancing}), n)
	}}
}

func peer(name, registered, js string) subject {
	return subject{name, func(tb testing.TB, n int) balancer.Picker {
		return pickerOf(tb, fake.Peer(tb, registered, js), n)
	}}
}

func floor(name string, picker func([]*fake.SubConn) balancer.Picker) subject {
	return subject{name, func(tb testing.TB, n int) balancer.Picker {
		conns := make([]*fake.SubConn, n)
		for i := range conns {
			conns[i] = new(fake.SubConn)
		}
		return picker(conns)
	}}
}

// pickerOf brings a balancer up with n endpoints and has it learn what it weighs them by.
func pickerOf(tb testing.TB, s *fake.Subject, n int) balancer.Picker {
	tb.Cleanup(s.Close)
	s.BringUp(tb, fake.State(fake.Addresses(n)))
	wake(tb, s.Conn)
	learn(tb, s, n)
	return s.Conn.Picker()
}

// wake makes those SubConns READY that a balancer makes only once a call wants them.
func wake(tb testing.TB, conn *fake.Conn) {
	for i := range infos {
		for patience := 5 * time.Second; ; patience -= time.Millisecond {
			res, err := conn.Picker().Pick(infos[i])
			if err == nil {
				if res.Done != nil {
					res.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true})
				}
				break
			}
			if !errors.Is(err, balancer.ErrNoSubConnAvailable) || patience <= 0 {
				tb.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			for _, sc := range conn.Live() {
				sc.Connects()
			}
		}
	}
}

// learn makes calls until each endpoint was called several times, and has reported some load, and lets the weights of those who look at them once a second come into force.
func learn(tb testing.TB, s *fake.Subject, n int) {
	call := calls(s.Conn.Picker())
	for range 1 + 4*n/picksPerCall {
		if err := call(); err != nil {
			tb.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond)
	s.Tick()
}

// picksPerCall is how many picks a contender makes in a call: a call by itself costs a few nanoseconds, which are not those of
// the picker.
const picksPerCall = 32

// infos are calls of different users.
var infos = func() (all [256]balancer.PickInfo) {
	for i := range all {
		md := metadata.Pairs(hashHeader, fmt.Sprint("user-", i))
		ctx := resilient.WithHashKey(metadata.NewOutgoingContext(context.Background(), md), md.Get(hashHeader)[0])
		all[i] = balancer.PickInfo{FullMethodName: "/acme.Inventory/GetItem", Ctx: ctx}
	}
	return all
}()

// reports come with calls. They are as many as fit into the processor's cache: in a program, a report has just been read.
var reports = func() (all [8]*v3orcapb.OrcaLoadReport) {
	for i := range all {
		all[i] = &v3orcapb.OrcaLoadReport{ApplicationUtilization: 0.2 + 0.1*float64(i), RpsFractional: 100}
	}
	return all
}()

// calls returns a function that picks and completes, as grpc does for calls that succeed.
func calls(p balancer.Picker) func() error {
	return func() error {
		from := rand.IntN(len(infos))
		for i := range picksPerCall {
			res, err := p.Pick(infos[(from+i)%len(infos)])
			if err != nil {
				return err
			}
			if res.Done != nil {
				res.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true, ServerLoad: reports[i%len(reports)]})
			}
		}
		return nil
	}
}
