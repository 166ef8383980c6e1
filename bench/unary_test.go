package bench_test

import (
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	"github.com/goresilient/goresilient/bench/internal/network"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
)

// unaryBatch is a tenth of a millisecond of calls in memory, one at a time.
const unaryBatch = 4

// unaryCase is a pair of clients that do the same work. A second plain connection is the control: its ratio to the first
// one would be 1 on a machine without noise.
type unaryCase struct {
	name       string
	contenders func(tb testing.TB, n *network.Network) []contest.Contender
}

var unaryCases = []unaryCase{
	{"nothing configured", func(tb testing.TB, n *network.Network) []contest.Contender {
		return []contest.Contender{
			caller(tb.Context(), "ours", newPlain(tb, resilient(n)), plainRequest()),
			caller(tb.Context(), "grpc", plainv1.NewPlainServiceClient(n.Conn(tb)), plainRequest()),
			caller(tb.Context(), "control", plainv1.NewPlainServiceClient(n.Conn(tb)), plainRequest()),
		}
	}},
	// The policy of the example: a deadline, and wait_for_ready.
	{"annotated", func(tb testing.TB, n *network.Network) []contest.Contender {
		byHand := func(name string) contest.Contender {
			client := inventoryv1.NewInventoryServiceClient(n.Conn(tb))
			return callerByHand(tb.Context(), name, client, inventoryRequest(), grpc.WaitForReady(true))
		}
		return []contest.Contender{
			caller(tb.Context(), "ours", newInventory(tb, resilient(n)), inventoryRequest()),
			byHand("grpc"),
			byHand("control"),
		}
	}},
}

// unaryShape is how calls are made.
type unaryShape struct {
	name     string
	inFlight int
	// fresh gives each call a goroutine of its own, whose stack has yet to grow, as a fan-out with errgroup does.
	fresh bool
}

var unaryShapes = []unaryShape{
	{name: "in flight=1", inFlight: 1},
	{name: "in flight=16", inFlight: 16},
	{name: "in flight=1, fresh goroutine", inFlight: 1, fresh: true},
}

// of returns the contest of a case's clients in a shape.
func (s unaryShape) of(tb testing.TB, c unaryCase) *contest.Contest {
	contenders := c.contenders(tb, newNetwork(tb))
	if s.fresh {
		for i := range contenders {
			contenders[i].Call = inFreshGoroutine(contenders[i].Call)
		}
	}
	return contest.New(tb, s.inFlight, unaryBatch, contenders...)
}

func inFreshGoroutine(call func() error) func() error {
	return func() error {
		done := make(chan error)
		go func() { done <- call() }()
		return <-done
	}
}

// BenchmarkUnary is a call over a connection in memory, beside the plain generated client that does the same work.
func BenchmarkUnary(b *testing.B) {
	for _, c := range unaryCases {
		for _, shape := range unaryShapes {
			b.Run(c.name+"/"+shape.name, func(b *testing.B) { shape.of(b, c).Bench(b) })
		}
	}
}
