package bench_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
)

// unaryBatch is a few milliseconds of calls in memory.
const unaryBatch = 4

// unaryCase is a pair of clients that do the same work. A second plain connection is the control: its ratio to the first
// one would be 1 on a machine without noise.
type unaryCase struct {
	name       string
	contenders func(tb testing.TB, n *network) []contender
}

var unaryCases = []unaryCase{
	{"nothing configured", func(tb testing.TB, n *network) []contender {
		return []contender{
			caller(tb.Context(), "ours", newPlain(tb, n.resilient()), plainRequest()),
			caller(tb.Context(), "grpc", plainv1.NewPlainServiceClient(n.plain(tb)), plainRequest()),
			caller(tb.Context(), "control", plainv1.NewPlainServiceClient(n.plain(tb)), plainRequest()),
		}
	}},
	// The policy of the example: a deadline, and wait_for_ready.
	{"annotated", func(tb testing.TB, n *network) []contender {
		byHand := func(name string) contender {
			client := inventoryv1.NewInventoryServiceClient(n.plain(tb))
			return callerByHand(tb.Context(), name, client, inventoryRequest(), grpc.WaitForReady(true))
		}
		return []contender{
			caller(tb.Context(), "ours", newInventory(tb, n.resilient()), inventoryRequest()),
			byHand("grpc"),
			byHand("control"),
		}
	}},
}

// BenchmarkUnary is a call over a connection in memory, beside the plain generated client that does the same work.
func BenchmarkUnary(b *testing.B) {
	for _, c := range unaryCases {
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/in flight=%d", c.name, inFlight), func(b *testing.B) {
				newContest(b, inFlight, unaryBatch, c.contenders(b, newNetwork(b))...).bench(b)
			})
		}
	}
}
