package pool_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/bench/internal/contest"
	"github.com/goresilient/goresilient/bench/internal/fake"
)

// quadratic is from how many endpoints on grpc is measured once only, and with -full alone.
const quadratic = 10_000

// rounds is how often an operation is measured; each time is short, and the median is taken.
func rounds(op operation, n int) int {
	if op.name == "bring-up" {
		return max(3, 3_000/n)
	}
	return 31
}

// sideBySide measures steps in turns and returns microseconds.
func sideBySide(rounds int, steps ...step) contest.Samples {
	times := make(contest.Samples, len(steps))
	for range rounds {
		for i, s := range steps {
			times[i] = append(times[i], once(s))
		}
	}
	return times
}

func once(s step) (microseconds float64) {
	if s.prepare != nil {
		s.prepare()
	}
	start := time.Now()
	s.run()
	return float64(time.Since(start)) / 1000
}

// BenchmarkPool prints what changes of the set of endpoints take, as a table for each number of endpoints.
//
//	go test ./pool -run '^$' -bench Pool -benchtime 1x
//	go test ./pool -run '^$' -bench Pool -benchtime 1x -full
func BenchmarkPool(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			for range b.N {
				benchmarkPool(b, n)
			}
		})
	}
}

func benchmarkPool(b *testing.B, n int) {
	s := newStates(b, n)
	sides := ourSides()
	if n < quadratic || *full {
		sides = append(sides, grpcRoundRobin)
	}
	table := new(strings.Builder)
	fmt.Fprintf(table, "\n| %d endpoints, µs |", n)
	for _, op := range operations {
		fmt.Fprintf(table, " %s |", op.name)
	}
	fmt.Fprintf(table, " heap, B/endpoint |\n|---|%s---|\n", strings.Repeat("---|", len(operations)))
	for _, of := range sides {
		fmt.Fprintf(table, "| %s |", of.name)
		for _, op := range operations {
			times := 1
			if of.name != grpcRoundRobin.name || n < quadratic || op.name != "bring-up" {
				times = rounds(op, n)
			}
			fmt.Fprintf(table, " %.0f |", sideBySide(times, op.begin(b, s, of)).Median(0))
		}
		fmt.Fprintf(table, " %.0f |\n", heapOf(b, s, of))
	}
	fmt.Println(table)
	b.ReportMetric(0, "ns/op")
}

// heapOf returns what an endpoint adds to the heap, without its SubConn and the resolver's list.
func heapOf(tb testing.TB, s states, of side) float64 {
	subject := of.make(tb, s.n)
	defer subject.Close()
	grown := grows(func() { subject.BringUp(tb, s.list) })
	conns := len(subject.Conn.Live())
	bare := grows(func() { tb.Helper(); keep = bareConns(conns) })
	keep = nil
	return float64(grown-bare) / float64(s.n)
}

// keep holds what is measured as it is.
var keep any

// bareConns are as many SubConns, and their channel, as a balancer makes.
func bareConns(n int) *fake.Conn {
	conn := new(fake.Conn)
	for range n {
		if _, err := conn.NewSubConn([]resolver.Address{{}}, balancer.NewSubConnOptions{}); err != nil {
			panic(err)
		}
	}
	return conn
}

// grows returns how much more is live after f.
func grows(f func()) int64 {
	before := live()
	f()
	return live() - before
}

func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
