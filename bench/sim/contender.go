package sim

import (
	"math/rand/v2"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"

	ours "github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Contender is a way to balance.
type Contender struct {
	// Name is for tables: that of the policy for goresilient's own, and of the project for others.
	Name string
	// Ours tells goresilient's balancer from rules that were written for the simulation.
	Ours bool
	// build makes a client's balancer, and the attributes that its resolver's state needs.
	build func(balancer.ClientConn, *Clock, *rand.Rand) (balancer.Balancer, *attributes.Attributes)
}

// The names of contenders that gates compare.
const (
	Adaptive     = "adaptive"
	WithOutlier  = "adaptive, outlier_detection"
	LeastRequest = "least_request"
	RoundRobin   = "round_robin"
	GoZero       = "go-zero p2c"
	Kratos       = "Kratos p2c"
	Finagle      = "Finagle peak EWMA"
	LeastLoaded  = "p2c, least loaded"
	Prequal      = "Prequal"
	Oracle       = "oracle"
)

// Contenders returns all that take part in s: goresilient's policies, and then the others.
func Contenders(s Scenario) []Contender {
	out := []Contender{
		balanced(Adaptive, s, &policy.LoadBalancing{Adaptive: &policy.Adaptive{}}, nil),
		balanced("peak_ewma", s, &policy.LoadBalancing{PeakEwma: &policy.PeakEwma{}}, nil),
		balanced(LeastRequest, s, &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}, nil),
		balanced(RoundRobin, s, &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}, nil),
	}
	if s.Deadline > 0 && s.Bad != nil {
		detection := &policy.OutlierDetection{ConsecutiveFailures: policy.Set(5)}
		out = append(out, balanced(WithOutlier, s, &policy.LoadBalancing{Adaptive: &policy.Adaptive{}}, detection))
	}
	return append(out,
		byRule(GoZero, newGoZero),
		byRule(Kratos, newKratos),
		byRule(Finagle, newFinagle),
		byRule(LeastLoaded, newLeastLoaded),
		byRule("grpc round_robin", newRoundRobin),
		byRule(Prequal, newPrequal),
		byRule(Oracle, newOracle),
	)
}

// byRule is a contender that connects to all servers and chooses by r.
func byRule(name string, r newRule) Contender {
	build := func(cc balancer.ClientConn, clock *Clock, random *rand.Rand) (balancer.Balancer, *attributes.Attributes) {
		return &peer{cc: cc, clock: clock, random: random, newRule: r}, nil
	}
	return Contender{Name: name, build: build}
}

// balanced is a contender that runs goresilient's balancer.
func balanced(name string, s Scenario, lb *policy.LoadBalancing, detection *policy.OutlierDetection) Contender {
	lb.SubsetSize = policy.Set(s.Subset)
	p := policy.Complete(&policy.Service{LoadBalancing: lb, OutlierDetection: detection})
	cfg := ours.Config{LoadBalancing: p.LoadBalancing, OutlierDetection: p.OutlierDetection}
	build := func(cc balancer.ClientConn, clock *Clock, random *rand.Rand) (balancer.Balancer, *attributes.Attributes) {
		ch := ours.NewChannel(cfg, ours.Options{Rand: random.Uint64, Now: clock.Now, AfterFunc: clock.AfterFunc})
		return balancer.Get(ours.Name).Build(cc, balancer.BuildOptions{}), ch.Attach(nil)
	}
	return Contender{Name: name, Ours: true, build: build}
}
