package calls_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// batch is about a tenth of a millisecond of calls without a network.
const batch = 100

// ourPolicies are the stacks of ours by name.
var ourPolicies = []struct {
	name   string
	policy func() *policy.Service
}{
	{"goresilient, nothing configured", func() *policy.Service { return new(policy.Service) }},
	{"goresilient, all guards", guards},
	{"goresilient, all guards, deadlines", deadlines},
	{"goresilient, all guards, deadlines, hedging", hedged},
}

var peers = []peer{
	noop, withTimeout, breakerAlone, middleware, failsafeGuards, failsafeHedge, goZeroGuards, goZeroDefault, kratosBreaker,
}

// bare is the contender that calls the last interceptor: what all the others have beyond it is their own.
func bare(tb testing.TB, last grpc.UnaryClientInterceptor) contest.Contender {
	return invoker(context.Background(), "bare call", over(tb, last))
}

// through is a contender that calls the last interceptor through a peer.
func through(tb testing.TB, p peer, last grpc.UnaryClientInterceptor) contest.Contender {
	return invoker(context.Background(), p.name, p.conn(tb, grpc.WithContextDialer(nowhere), grpc.WithChainUnaryInterceptor(last)))
}

// oursThrough is a contender that calls the last interceptor through a client of ours.
func oursThrough(tb testing.TB, name string, p *policy.Service, last grpc.UnaryClientInterceptor) contest.Contender {
	return ours(context.Background(), tb, name, p, goresilient.WithConn(over(tb, last)))
}

// lineup is all contenders over a last interceptor, the bare one first.
func lineup(tb testing.TB, last grpc.UnaryClientInterceptor) []contest.Contender {
	all := []contest.Contender{bare(tb, last)}
	for _, p := range ourPolicies {
		all = append(all, oursThrough(tb, p.name, p.policy(), last))
	}
	all = append(all, floor(tb, last))
	for _, p := range peers {
		all = append(all, through(tb, p, last))
	}
	return all
}

// BenchmarkCalls prints what each stack adds to a call that has no network, as a table: by itself, and with what grpc's own
// context.WithCancel takes more because of the context that the stack hands down.
//
//	go test ./calls -run '^$' -bench Calls -benchtime 5s
func BenchmarkCalls(b *testing.B) {
	alone, all := lineup(b, hollow), lineup(b, stub)
	c, over := contest.New(b, 1, batch, alone...), contest.New(b, 1, batch, all...)
	for b.Loop() {
		c.Round(b)
		over.Round(b)
	}
	b.ReportMetric(0, "ns/op")
	table := new(strings.Builder)
	fmt.Fprintf(table, "\n| added to a call | ns | allocations | over grpc's WithCancel, ns | allocations |\n|---|---|---|---|---|\n")
	fmt.Fprintf(table, "| (%s) | %.0f | %.0f | %.0f | %.0f |\n", alone[0].Name, c.Times.Median(0), contest.Allocations(b, alone[0]),
		over.Times.Median(0), contest.Allocations(b, all[0]))
	for i := 1; i < len(alone); i++ {
		fmt.Fprintf(table, "| %s | %.0f | %.0f | %.0f | %.0f |\n", alone[i].Name,
			contest.Median(c.Times.Added(i, 0)), contest.Allocations(b, alone[i])-contest.Allocations(b, alone[0]),
			contest.Median(over.Times.Added(i, 0)), contest.Allocations(b, all[i])-contest.Allocations(b, all[0]))
	}
	fmt.Println(table)
}
