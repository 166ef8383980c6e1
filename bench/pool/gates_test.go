package pool_test

import (
	"fmt"
	"testing"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// goals are ours over grpc's round_robin with 10 000 endpoints, by operation.
var goals = map[string]float64{
	"bring-up":     0.01,
	"one replaced": 0.04,
	"same list":    0.02,
	"same state":   0.02,
}

// fewer is by how much the goals are wider with 1 000 endpoints, where what grpc does for all of them costs less beside what has
// to be done for one.
const fewer = 2

// heapGoal is what an endpoint takes of the heap, over what it takes with grpc's round_robin.
const heapGoal = 0.3

// connectGoal is the bring-up of 10 000 real connections, over the same with grpc's round_robin.
const connectGoal = 0.1

// bareGoal is the same over SubConns without a policy.
const bareGoal = 1.5

// TestGates holds every policy with everything on beside grpc's round_robin: with 1 000 endpoints, or with -full the 10 000 for
// which the goals are meant. Of the heap it holds each policy alone as well.
func TestGates(t *testing.T) {
	n := 1_000
	if *full {
		n = quadratic
	}
	s := newStates(t, n)
	for _, op := range operations {
		goal, held := goals[op.name]
		if !held {
			continue
		}
		if !*full {
			goal *= fewer
		}
		t.Run(fmt.Sprintf("%s/endpoints=%d", op.name, n), func(t *testing.T) {
			var peer contest.Samples // of the peer, where it takes half a minute
			if op.name == "bring-up" && n >= quadratic {
				peer = contest.Samples{{once(op.begin(t, s, grpcRoundRobin))}}
			}
			for i := range arms {
				t.Run(arms[i].name, func(t *testing.T) { holdTimes(t, op, s, everything(i), peer, goal) })
			}
		})
	}
	t.Run(fmt.Sprintf("heap/endpoints=%d", n), func(t *testing.T) { holdHeap(t, s) })
}

// holdTimes measures one of ours and the peer in turns, unless the peer was measured before. Each has the process nearly to itself: the
// collector's work is in proportion to all that is live.
func holdTimes(t *testing.T, op operation, s states, ours side, peer contest.Samples, goal float64) {
	var times contest.Samples
	if peer != nil {
		times = append(sideBySide(rounds(op, s.n), op.begin(t, s, ours)), peer...)
	} else {
		times = sideBySide(rounds(op, s.n), op.begin(t, s, ours), op.begin(t, s, grpcRoundRobin))
	}
	ratio := times.Median(0) / times.Median(1)
	t.Logf("%s %.0f µs, %s %.0f µs, ratio %.4f (goal %.2f)", ours.name, times.Median(0), grpcRoundRobin.name, times.Median(1), ratio, goal)
	if ratio > goal {
		t.Errorf("with %s it takes %.4f times as long as grpc's round_robin; the goal is %.2f; find out what costs with -bench Pool -cpuprofile",
			ours.name, ratio, goal)
	}
}

func holdHeap(t *testing.T, s states) {
	theirs := heapOf(t, s, grpcRoundRobin)
	for _, of := range ourSides() {
		mine := heapOf(t, s, of)
		t.Logf("%s %.0f B an endpoint, %s %.0f B, ratio %.3f", of.name, mine, grpcRoundRobin.name, theirs, mine/theirs)
		if mine > heapGoal*theirs {
			t.Errorf("with %s an endpoint takes %.3f times the heap that it takes with grpc's round_robin; the goal is %.1f", of.name, mine/theirs, heapGoal)
		}
	}
}

// TestConnectGate brings up real connections in memory: 10 000 with -full. With few of them, what connecting itself takes is
// most of the time, and nothing is held.
func TestConnectGate(t *testing.T) {
	n := 100
	if *full {
		n = quadratic
	}
	m := newMany(t)
	bare, ours, grpcs := m.bringUp(t, n, m.bare), m.bringUp(t, n, m.resilient), m.bringUp(t, n, m.grpc)
	ratio := ours.Seconds() / grpcs.Seconds()
	t.Logf("%d endpoints: ours %v, grpc %v, ratio %.3f; bare SubConns %v, ratio %.2f", n, ours, grpcs, ratio, bare, ours.Seconds()/bare.Seconds())
	if *full && ours.Seconds() > bareGoal*bare.Seconds() {
		t.Errorf("%d connections take %.2f times as long as bare SubConns; the goal is %.1f", n, ours.Seconds()/bare.Seconds(), bareGoal)
	}
	if *full && ratio > connectGoal {
		t.Errorf("%d connections take %.3f times as long as with grpc's round_robin; the goal is %.2f", n, ratio, connectGoal)
	}
}
