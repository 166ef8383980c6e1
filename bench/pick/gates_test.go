package pick_test

import (
	"fmt"
	"testing"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// gate holds a pick of ours, with its completion, under a share of what a peer takes.
type gate struct {
	ours, peer       subject
	endpoints        int
	serial, parallel float64 // the goals: ours over the peer's
}

// gates are the goals. Those for 10 000 endpoints are held there with -full, and with 1 000 otherwise.
func gates() []gate {
	many, ofWeighted := 1_000, 0.3 // grpc's picks take longer the more endpoints there are
	if *full {
		many, ofWeighted = 10_000, 0.15
	}
	return []gate{
		{peakEWMA, goZeroP2C, 100, 0.45, 0.35},
		{adaptive, goZeroP2C, 100, 0.45, 0.35},
		{leastRequest, grpcLeastRequest, 100, 0.35, 0.35},
		// Whole picks, each as it is used: ours has the key from the call's context, ring_hash reads a header, for which grpc
		// copies the call's metadata. The table of BenchmarkPick has what that reading costs by itself.
		{consistentHash, grpcRingHash, 1_000, 0.5, 0.5},
		{weighted, grpcWeighted, many, ofWeighted, ofWeighted},
	}
}

// The rounds of a gate end once its ratio is known to within the margin.
const (
	gateStep, gateMost = 100, 300
	gateMargin         = 0.02
)

func TestGates(t *testing.T) {
	for _, g := range gates() {
		t.Run(fmt.Sprintf("%s/endpoints=%d", g.ours.name, g.endpoints), func(t *testing.T) { holdGate(t, g) })
	}
}

func holdGate(t *testing.T, g gate) {
	contenders := []contest.Contender{contender(t, g.ours, g.endpoints), contender(t, g.peer, g.endpoints), contender(t, floorNothing, 1)}
	// What measuring itself takes is neither's.
	ratios := func(s contest.Samples) []float64 { return s.NetRatios(0, 1, 2) }
	own := contest.Allocations(t, contenders[0])
	if own > 0 {
		t.Errorf("%d picks allocate %.0f objects; they must allocate none; find out where with -bench Pick -memprofile", picksPerCall, own)
	}
	for i, goal := range []float64{g.serial, g.parallel} {
		c := contest.New(t, concurrency[i].workers, batch, contenders...)
		c.Settle(t, gateStep, gateMost, gateMargin, ratios)
		ratio := contest.Median(ratios(c.Times))
		for j, s := range contenders {
			t.Logf("%s: %s %.1f ns", concurrency[i].name, s.Name, c.Times.Median(j)/picksPerCall)
		}
		t.Logf("%s: ratio %.3f, goal %.2f, %d rounds", concurrency[i].name, ratio, goal, c.Times.Rounds())
		if ratio > goal {
			t.Errorf("%s: a pick takes %.3f times as long as that of %s; the goal is %.2f; find out what costs with -bench Pick -cpuprofile",
				concurrency[i].name, ratio, g.peer.name, goal)
		}
	}
}

// TestNoAllocation holds for the pickers that have no other gate.
func TestNoAllocation(t *testing.T) {
	if n := contest.Allocations(t, contender(t, roundRobin, 100)); n != 0 {
		t.Errorf("%d picks allocate %.0f objects; they must allocate none", picksPerCall, n)
	}
}
