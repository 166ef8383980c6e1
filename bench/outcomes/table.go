package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is what came out, in Markdown.
func table(list []contender, results map[string]result) string {
	var b strings.Builder
	b.WriteString("| client | success | p50 | p99 | p99 by seed | p99.9 | sent per call | failures |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range list {
		r := results[c.name]
		fmt.Fprintf(&b, "| %s | %.3f %% | %s | %s | %s–%s | %s | %.2f | %s |\n", c.name, 100*r.Success(), ms(r.Quantile(0.5)),
			ms(r.Quantile(0.99)), ms(slices.Min(r.tails)), ms(slices.Max(r.tails)), ms(r.Quantile(0.999)),
			float64(r.sent)/float64(r.made), r.Codes())
	}
	return b.String()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
