package hedge_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// page makes the tests measure at length and write what came out.
var page = flag.String("page", "", "the page whose tables to write, ../../docs/hedging.md; measures for some minutes")

// atLength chooses between what a gate takes and what a table takes.
func atLength[T any](gate, table T) T {
	if *page != "" {
		return table
	}
	return gate
}

// publish puts a table into the page, between the markers of its name.
func publish(t *testing.T, name, table string) {
	t.Helper()
	t.Logf("%s:\n%s", name, table)
	if *page == "" {
		return
	}
	text, err := os.ReadFile(*page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": begin -->", "<!-- "+name+": end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no %s before %s; put both where the table is to stand", *page, begin, end)
	}
	written := before + begin + "\n\n" + strings.TrimSpace(table) + "\n\n" + end + after
	if err := os.WriteFile(*page, []byte(written), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table is Markdown.
type table struct{ strings.Builder }

func newTable(head ...string) *table {
	t := new(table)
	t.row(head...)
	t.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	return t
}

func (t *table) row(cells ...string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

// ms writes a time to about three digits.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case d == 0:
		return "–"
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	default:
		return fmt.Sprintf("%.0f ms", v)
	}
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
