package calls_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	"github.com/goresilient/goresilient/bench/internal/network"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
)

const (
	inFlight = 16
	// networkBatch is what each of them calls in a turn. Each turn begins with the caches that the other contender has left,
	// which is no part of what a call costs where a client is in use: 64 calls in a turn instead of 512 show 2 % more.
	networkBatch = 32
	// networkGoal is a call with everything on, over that of the plain connection under context.WithTimeout, at most.
	networkGoal = 1.05
	// Two connections differ for as long as they live, in where they lie and who serves them, by some 3 %: pairs are compared,
	// for so many rounds each, until their median is known to within networkKnown.
	networkLeast, networkMost = 15, 41
	networkKnown              = 0.01
	networkWarm               = 7
	networkRounds             = 20
)

type plainServer struct {
	plainv1.UnimplementedPlainServiceServer
}

func (plainServer) GetItem(_ context.Context, in *plainv1.GetItemRequest) (*response, error) {
	return &response{ItemId: in.GetItemId(), InStock: 7, Server: "network"}, nil
}

// networks are what the calls go over.
var networks = map[string]func(testing.TB, func(*grpc.Server)) *network.Network{
	"memory":   network.Memory,
	"loopback": network.Loopback,
}

// networkContest has 16 calls in flight: ours with everything on, the plain connection whose caller sets a deadline, and those
// peers that are asked for.
func networkContest(tb testing.TB, make func(testing.TB, func(*grpc.Server)) *network.Network, peers ...peer) (*contest.Contest, []contest.Contender) {
	n := make(tb, func(s *grpc.Server) { plainv1.RegisterPlainServiceServer(s, plainServer{}) })
	over := func(p peer) contest.Contender {
		return invoker(tb.Context(), p.name, p.conn(tb, grpc.WithContextDialer(n.Dial)))
	}
	contenders := []contest.Contender{
		ours(tb.Context(), tb, "goresilient", hedged(), goresilient.WithTarget(network.Target), goresilient.WithInsecure(), goresilient.WithDialer(n.Dial)),
		over(withTimeout),
	}
	for _, p := range peers {
		contenders = append(contenders, over(p))
	}
	return contest.New(tb, inFlight, networkBatch, contenders...), contenders
}

// BenchmarkNetwork is a call with everything on over a network, with 16 in flight.
func BenchmarkNetwork(b *testing.B) {
	for name, make := range networks {
		b.Run(name, func(b *testing.B) {
			c, contenders := networkContest(b, make, noDeadline, failsafeHedge, goZeroDefault)
			for b.Loop() {
				c.Round(b)
			}
			b.ReportMetric(0, "ns/op")
			for i, s := range contenders {
				b.Logf("%s: %.1f µs, %.3f of grpc with a deadline, %.3f of grpc without", s.Name, c.Times.Median(i)/1000,
					contest.Median(c.Times.Ratios(i, 1)), contest.Median(c.Times.Ratios(i, 2)))
			}
		})
	}
}

func gateNetwork(t *testing.T) {
	for name, make := range networks {
		t.Run(name, func(t *testing.T) {
			var ratios []float64
			var low, high float64
			for len(ratios) < networkLeast || high-low > 2*networkKnown && len(ratios) < networkMost {
				ratios = append(ratios, networkPair(t, make))
				low, high = contest.Interval(ratios)
			}
			slices.Sort(ratios)
			ratio := contest.Median(ratios)
			t.Logf("a call with everything on takes %.3f times as long as one of grpc (%.3f to %.3f): the median of %.3f", ratio, low, high, ratios)
			if low == 0 {
				t.Error("no calls were compared; leave the pairs out of -run")
			}
			if ratio > networkGoal {
				t.Errorf("a call with everything on takes %.3f times as long as one of grpc, the goal is %.2f; find out why with -bench Network -cpuprofile", ratio, networkGoal)
			}
		})
	}
}

// networkPair compares a connection of ours with one of grpc's.
func networkPair(t *testing.T, make func(testing.TB, func(*grpc.Server)) *network.Network) (ratio float64) {
	t.Run("pair", func(t *testing.T) { // whose end closes both
		c, _ := networkContest(t, make)
		c.Warm(t, networkWarm)
		for range networkRounds {
			c.Round(t)
		}
		ratio = contest.Median(c.Times.Ratios(0, 1))
	})
	return ratio
}
