package main

import (
	"testing"
	"time"

	"github.com/goresilient/goresilient/bench/internal/silence"
	"github.com/goresilient/goresilient/bench/internal/traffic"
)

const (
	// level is the share of calls by which success may differ by chance.
	level = 0.001
	// p99Goal is the most that our p99 may be of a peer's.
	p99Goal = 0.95
	// tries is how many seeds a verdict may take; each adds to those before.
	tries = 3
)

// TestGates runs all contenders through the same faults: ours must succeed as often as any, with a lower p99 than each. What is
// close, or comes out of a machine that is busy otherwise, is told by more seeds.
func TestGates(t *testing.T) {
	silence.Logs()
	list := contenders(nil)
	plan := traffic.Plan{Rate: 120, WarmUp: 3 * time.Second, Measure: 26 * time.Second, Timeout: timeout}
	var total map[string]result
	for plan.Seed = 1; ; plan.Seed++ {
		felt := feel()
		results, err := runAll(list, plan, newSchedule(plan.Seed, plan.WarmUp, plan.Measure))
		strained := felt.end()
		if err != nil {
			t.Fatal(err)
		}
		total = merge(total, results)
		t.Logf("up to seed %d, %s:\n%s", plan.Seed, strained, table(list, total))
		behind := verdict(list, total)
		if len(behind) == 0 {
			return
		}
		if plan.Seed == tries {
			for _, b := range behind {
				t.Error(b)
			}
			return
		}
	}
}
