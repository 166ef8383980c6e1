package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/goresilient/goresilient/bench/internal/traffic"
)

// verdict tells which peers ours is behind of, and in what.
func verdict(list []contender, results map[string]result) (behind []string) {
	mine := results[ours]
	for _, c := range list {
		r := results[c.name]
		if c.name == ours {
			continue
		}
		if mine.Success() < r.Success()-level {
			behind = append(behind, fmt.Sprintf("%.3f %% of our calls succeeded, and %.3f %% of those of %s; ours may be %.1f %% behind, by chance",
				100*mine.Success(), 100*r.Success(), c.name, 100*level))
		}
		if p, q := mine.Quantile(0.99), r.Quantile(0.99); float64(p) > p99Goal*float64(q) {
			behind = append(behind, fmt.Sprintf("our p99 is %.2f of that of %s (%s, %s); the goal is at most %.2f",
				float64(p)/float64(q), c.name, ms(p), ms(q), p99Goal))
		}
	}
	return behind
}

// of makes a result of 1000 calls of which some failed, all as slow as p99.
func of(failed int, p99 time.Duration) result {
	return result{Result: traffic.Result{
		Latencies: slices.Repeat([]time.Duration{p99}, 1000), Failed: map[codes.Code]int{codes.Unavailable: failed},
	}}
}

func TestVerdict(t *testing.T) {
	list := []contender{{name: ours}, {name: "peer"}}
	for name, c := range map[string]struct {
		mine, peer result
		behind     int
	}{
		"first in both":         {of(0, 50), of(10, 100), 0},
		"level in success":      {of(1, 50), of(0, 100), 0},
		"fails more":            {of(2, 50), of(0, 100), 1},
		"slower":                {of(0, 100), of(0, 50), 1},
		"not faster by enough":  {of(0, 97), of(0, 100), 1},
		"behind in both":        {of(20, 100), of(0, 50), 2},
		"fails more, but later": {of(20, 50), of(30, 1000), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(list, map[string]result{ours: c.mine, "peer": c.peer}); len(got) != c.behind {
				t.Errorf("%d reproaches, want %d: %v", len(got), c.behind, got)
			}
		})
	}
}
