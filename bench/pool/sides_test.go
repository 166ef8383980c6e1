package pool_test

import (
	"testing"

	_ "google.golang.org/grpc/balancer/roundrobin"

	"github.com/goresilient/goresilient/bench/internal/fake"
	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/policy"
)

// side is a balancer under measurement.
type side struct {
	name string
	make func(tb testing.TB, n int) *fake.Subject
}

var grpcRoundRobin = side{"grpc round_robin", func(tb testing.TB, _ int) *fake.Subject {
	return fake.Peer(tb, "round_robin", "{}")
}}

// hashHeader is the metadata key that consistent_hash hashes.
const hashHeader = "x-user-id"

// arms are our policies.
var arms = []struct {
	name string
	arm  func() *policy.LoadBalancing
}{
	{"round_robin", func() *policy.LoadBalancing { return &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}} }},
	{"weighted_round_robin", func() *policy.LoadBalancing {
		return &policy.LoadBalancing{WeightedRoundRobin: &policy.WeightedRoundRobin{}}
	}},
	{"least_request", func() *policy.LoadBalancing { return &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}} }},
	{"peak_ewma", func() *policy.LoadBalancing { return &policy.LoadBalancing{PeakEwma: &policy.PeakEwma{}} }},
	{"consistent_hash", func() *policy.LoadBalancing {
		return &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{Header: policy.Set(hashHeader)}}
	}},
	{"adaptive", func() *policy.LoadBalancing { return &policy.LoadBalancing{Adaptive: &policy.Adaptive{}} }},
}

// alone is a policy with the defaults around it.
func alone(i int) side {
	return side{"goresilient " + arms[i].name, func(tb testing.TB, _ int) *fake.Subject {
		return fake.Ours(tb, balancer.Config{LoadBalancing: complete(arms[i].arm(), nil).LoadBalancing})
	}}
}

// everything is a policy with outlier detection, subsetting, failover, zones and slow start.
func everything(i int) side {
	return side{arms[i].name + ", everything on", func(tb testing.TB, n int) *fake.Subject {
		lb := arms[i].arm()
		lb.SubsetSize = policy.Set(n * 99 / 100) // nearly as many connections as the peer
		lb.ZoneAware = &policy.ZoneAware{}
		lb.SlowStart = &policy.SlowStart{}
		lb.Failover = &policy.Failover{}
		p := complete(lb, &policy.OutlierDetection{FailureRatio: policy.Set(0.5), LatencyFactor: policy.Set(3.0)})
		return fake.Ours(tb, balancer.Config{LoadBalancing: p.LoadBalancing, OutlierDetection: p.OutlierDetection, Zone: "zone-0"})
	}}
}

func complete(lb *policy.LoadBalancing, od *policy.OutlierDetection) *policy.Service {
	return policy.Complete(&policy.Service{LoadBalancing: lb, OutlierDetection: od})
}

// ourSides are all of ours.
func ourSides() []side {
	var all []side
	for i := range arms {
		all = append(all, alone(i), everything(i))
	}
	return all
}
