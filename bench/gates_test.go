//go:build unix

package bench_test

import (
	"testing"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// The goals that TestGates holds. Each is relative to a peer that runs in the same rounds; none is a time.
const (
	// unaryGoal is a call over a connection in memory, over the same call of the plain generated client.
	unaryGoal = 1.05
	// unaryMargin is for noise: the control, a second plain client, was seen as far from 1 as this on a machine that others
	// use as well. Rounds are added until the ratio is known to within half of it.
	unaryMargin = 0.02
	// callPathGoal is what a client of which nothing is configured may add to a call, in units of the floor: the context that
	// grpc derives for each call, and its cancellation. That is 56 ns where the floor is 112 ns. It has room for noise: what is
	// measured is a tenth of the floor.
	callPathGoal = 0.5
	// generationGoal is processor time and peak memory of the plugin, over those of protoc-gen-go-grpc.
	generationGoal   = 1.0
	generationRounds = 5

	gateStep, gateMost = 500, 8000 // rounds
)

// ratios are those of ours to its peer.
func ratios(s contest.Samples) []float64 { return s.Ratios(0, 1) }

func TestGates(t *testing.T) {
	t.Run("unary", gateUnary)
	t.Run("call path", gateCallPath)
	t.Run("generation", gateGeneration)
}

// gateUnary leaves out the shape with fresh goroutines, which is measured and has no goal.
func gateUnary(t *testing.T) {
	for _, c := range unaryCases {
		for _, shape := range unaryShapes {
			if shape.fresh {
				continue
			}
			t.Run(c.name+"/"+shape.name, func(t *testing.T) {
				match := shape.of(t, c)
				match.Settle(t, gateStep, gateMost, unaryMargin/2, ratios)
				ratio := contest.Median(ratios(match.Times))
				low, high := contest.Interval(ratios(match.Times))
				t.Logf("ours %.0f ns, grpc %.0f ns, ratio %.3f (%.3f to %.3f), control %.3f, %d rounds",
					match.Times.Median(0), match.Times.Median(1), ratio, low, high, contest.Median(match.Times.Ratios(2, 1)), match.Times.Rounds())
				if ratio > unaryGoal+unaryMargin {
					t.Errorf("a call takes %.3f times as long as the plain client's; the goal is %.2f, with %.2f for noise; "+
						"find out what costs with -bench Unary -cpuprofile", ratio, unaryGoal, unaryMargin)
				}
			})
		}
	}
}

func gateCallPath(t *testing.T) {
	for _, c := range callPathCases {
		t.Run(c.name, func(t *testing.T) {
			contenders := c.contenders(t)
			ours, peer := contest.Allocations(t, contenders[0]), contest.Allocations(t, contenders[1])
			match := contest.New(t, 1, callPathBatch, contenders...)
			match.Settle(t, gateStep, gateMost, unaryMargin, ratios)
			added := contest.Median(match.Times.AddedIn(2, 0, 1))
			t.Logf("ours %.0f ns, grpc %.0f ns, floor %.0f ns, %+.0f ns, %.2f floors, %+.0f allocations, %d rounds", match.Times.Median(0),
				match.Times.Median(1), match.Times.Median(2), contest.Median(match.Times.Added(0, 1)), added, ours-peer, match.Times.Rounds())
			if c.configured {
				return
			}
			if ours > peer {
				t.Errorf("a call allocates %v objects, the plain client's %v; nothing configured must add none; "+
					"find out where with -bench CallPath -memprofile", ours, peer)
			}
			if added > callPathGoal {
				t.Errorf("a call takes %.2f floors longer than the plain client's; the goal is %.2f; "+
					"find out what costs with -bench CallPath -cpuprofile", added, callPathGoal)
			}
		})
	}
}

func gateGeneration(t *testing.T) {
	g := newGeneration(t)
	for range generationRounds {
		g.round(t)
	}
	t.Logf("ours %.0f ms and %.0f MB, grpc %.0f ms and %.0f MB", 1000*g.processor.Median(0), g.memory.Median(0), 1000*g.processor.Median(1), g.memory.Median(1))
	for what, s := range map[string]contest.Samples{"processor time": g.processor, "memory": g.memory} {
		if ratio := contest.Median(ratios(s)); ratio > generationGoal {
			t.Errorf("the plugin takes %.2f times the %s of protoc-gen-go-grpc; the goal is %.2f; "+
				"find out what costs with the benchmark of internal/generator", ratio, what, generationGoal)
		}
	}
}
