package calls_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// gate holds what a policy of ours adds to a call under a share of what a peer adds.
type gate struct {
	name        string
	policy      func() *policy.Service
	peers       map[string]gateOf // by name
	allocations float64           // of our own, at most
}

type gateOf struct {
	peer peer
	goal float64 // at most
}

// The goals. Each is relative to a peer that runs in the same rounds; none is a time.
var gates = []gate{
	{"guards", guards, map[string]gateOf{
		"gobreaker": {breakerAlone, 0.75},
	}, 0},
	{"guards and deadlines", deadlines, map[string]gateOf{
		"failsafe-go": {failsafeGuards, 0.35},
		"middleware":  {middleware, 0.75},
	}, 1},
	{"hedging armed", hedged, map[string]gateOf{
		"failsafe-go": {failsafeHedge, 0.25},
	}, 1},
}

// The rounds of a gate end once its ratio is known to within the margin. Contenders lie where they were made, next to what shares
// a cache line with them: they are made anew so many times, and the median of their ratios counts.
const (
	gateMatches        = 3
	gateWarm           = 1500
	gateStep, gateMost = 1000, 5000
	gateMargin         = 0.01
)

func TestGates(t *testing.T) {
	for _, g := range gates {
		for name, of := range g.peers {
			t.Run(g.name+"/"+name, func(t *testing.T) { holdGate(t, g, of) })
		}
	}
	t.Run("network", gateNetwork)
}

func holdGate(t *testing.T, g gate, of gateOf) {
	var ratios []float64
	for range gateMatches {
		ratios = append(ratios, gateMatch(t, g, of))
	}
	ratio := contest.Median(ratios)
	t.Logf("the median of %.3f is %.3f (goal %.2f)", ratios, ratio, of.goal)
	if ratio > of.goal {
		t.Errorf("ours adds %.3f times what %s adds, the goal is %.2f; find out what costs with -bench Calls -cpuprofile", ratio, of.peer.name, of.goal)
	}
}

// gateMatch returns what ours adds to a call over what the peer adds, and fails the test if ours allocates too much.
func gateMatch(t *testing.T, g gate, of gateOf) float64 {
	mine, none := oursThrough(t, "ours", g.policy(), hollow), bare(t, hollow)
	own := contest.Allocations(t, mine) - contest.Allocations(t, none)
	match := contest.New(t, 1, batch, mine, through(t, of.peer, hollow), none)
	net := func(s contest.Samples) []float64 { return s.NetRatios(0, 1, 2) }
	match.Warm(t, gateWarm)
	match.Settle(t, gateStep, gateMost, gateMargin, net)
	ratio := contest.Median(net(match.Times))
	t.Logf("ours adds %.0f ns and %.0f allocations, %s %.0f ns, ratio %.3f, %d rounds", contest.Median(match.Times.Added(0, 2)), own,
		of.peer.name, contest.Median(match.Times.Added(1, 2)), ratio, match.Times.Rounds())
	if own > g.allocations {
		t.Errorf("ours allocates %.0f objects of its own, the goal is %.0f; find out where with -bench Calls -memprofile", own, g.allocations)
	}
	return ratio
}

// TestFirstAttemptOnCallersGoroutine has the connection look at its own stack.
func TestFirstAttemptOnCallersGoroutine(t *testing.T) {
	below := false
	look := func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		below = calledBy("calls_test.callHere")
		return stub(ctx, method, in, out, cc, invoke, opts...)
	}
	call := ours(t.Context(), t, "ours", hedged(), goresilient.WithConn(over(t, look)))
	if err := callHere(call); err != nil {
		t.Fatal(err)
	}
	if !below {
		t.Error("the first attempt of a call with a hedge armed runs on a goroutine of its own; it must run on the caller's")
	}
}

//go:noinline
func callHere(c contest.Contender) error { return c.Call() }

// calledBy tells whether the function whose name ends so is above on the stack.
func calledBy(suffix string) bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, suffix) {
			return true
		}
		if !more {
			return false
		}
	}
}
