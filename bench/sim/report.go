package sim

import (
	"fmt"
	"strings"
	"time"
)

// Row is what came of a contender.
type Row struct {
	Contender Contender
	Result    *Result
}

// RunAll has each contender run the scenario with seeds 1 to n, and puts the runs of one together.
func RunAll(s Scenario, contenders []Contender, n int) []Row {
	var out []Row
	for _, c := range contenders {
		total := newResult(s)
		for seed := range n {
			total.Merge(Run(s, c, uint64(seed+1)))
		}
		out = append(out, Row{c, total})
	}
	return out
}

// Table returns what came of a scenario as a table in Markdown.
func Table(s Scenario, rows []Row) string {
	var b strings.Builder
	head := "| | p50 | p90 | p99 | p99.9 | within 1 s | failed | share of a server |"
	rule := "|---|---|---|---|---|---|---|---|"
	if s.Bad != nil {
		head, rule = head+" to the bad |", rule+"---|"
	}
	fmt.Fprintln(&b, head)
	fmt.Fprintln(&b, rule)
	for _, row := range rows {
		r := row.Result
		name := row.Contender.Name
		if row.Contender.Ours {
			name = "**" + name + "**"
		}
		low, high := r.Spread()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d | %.2f–%.2f |", name, milli(r.Quantile(0.5)), milli(r.Quantile(0.9)),
			milli(r.Quantile(0.99)), milli(r.Quantile(0.999)), percent(r.Success()), r.Failed, low, high)
		if s.Bad != nil {
			fmt.Fprintf(&b, " %s |", percent(r.BadShare()))
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// Compare returns the p99 of each contender in each scenario as a table in Markdown. All scenarios have the same contenders.
func Compare(scenarios []Scenario, rows [][]Row) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, s := range scenarios {
		fmt.Fprintf(&b, " %s |", s.Name)
	}
	b.WriteString("\n|---|")
	b.WriteString(strings.Repeat("---|", len(scenarios)) + "\n")
	for k := range rows[0] {
		fmt.Fprintf(&b, "| %s |", rows[0][k].Contender.Name)
		for i := range scenarios {
			fmt.Fprintf(&b, " %s |", milli(rows[i][k].Result.Quantile(0.99)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// milli writes a latency in milliseconds, to three digits or so.
func milli(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }
