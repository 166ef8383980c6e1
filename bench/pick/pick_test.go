package pick_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// batch is about a tenth of a millisecond of picks, and at least that of the slowest.
const batch = 50

// concurrency is how many goroutines pick.
var concurrency = []struct {
	name    string
	workers int
}{{"serial", 1}, {"parallel", 2}}

var subjects = []subject{
	roundRobin, leastRequest, weighted, peakEWMA, consistentHash, adaptive,
	grpcRoundRobin, grpcLeastRequest, grpcWeighted, grpcRingHash, goZeroP2C, kratosP2C,
	floorNothing, floorRandom, floorHeader, floorInFlight, floorLatency,
}

// sizes are the numbers of endpoints.
func sizes() []int {
	if *full {
		return []int{100, 1_000, 10_000}
	}
	return []int{100, 1_000}
}

// BenchmarkPick prints what a pick with its completion takes, as a table for each number of endpoints. In parallel it
// is, as with [testing.B.RunParallel], the time over the picks of all goroutines.
//
//	go test ./pick -run '^$' -bench Pick -benchtime 300x
//	go test ./pick -run '^$' -bench Pick -benchtime 300x -full
func BenchmarkPick(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) { benchmarkPick(b, n) })
	}
}

func benchmarkPick(b *testing.B, n int) {
	var contenders []contest.Contender
	for _, s := range subjects {
		contenders = append(contenders, contender(b, s, n))
	}
	var contests []*contest.Contest
	for _, c := range concurrency {
		contests = append(contests, contest.New(b, c.workers, batch, contenders...))
	}
	for b.Loop() {
		for _, c := range contests {
			c.Round(b)
		}
	}
	b.ReportMetric(0, "ns/op")
	table := new(strings.Builder)
	fmt.Fprintf(table, "\n| %d endpoints | serial, ns | parallel, ns | allocations |\n|---|---|---|---|\n", n)
	for i, c := range contenders {
		fmt.Fprintf(table, "| %s | %.0f | %.0f | %.1f |\n", c.Name, contests[0].Times.Median(i)/picksPerCall,
			contests[1].Times.Median(i)/picksPerCall, contest.Allocations(b, c)/picksPerCall)
	}
	fmt.Println(table)
}

func contender(tb testing.TB, s subject, n int) contest.Contender {
	return contest.Contender{Name: s.name, Call: calls(s.picker(tb, n))}
}
