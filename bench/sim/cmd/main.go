// Command cmd runs the simulation of load balancing and writes what came out to docs/balancing: a picture of each scenario, and
// the tables in README.md between its markers. In bench:
//
//	GOWORK=off go run ./sim/cmd
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goresilient/goresilient/bench/sim"
)

func main() {
	out := flag.String("out", "../docs/balancing", "folder with README.md, for the pictures and the tables")
	seeds := flag.Int("seeds", 3, "runs of each contender in each scenario")
	only := flag.String("only", "", "names of scenarios, separated by commas; nothing is written, tables go to standard output")
	attempts := flag.Bool("attempts", false, "with -only: the rules that were tried instead of the contenders")
	flag.Parse()
	var err error
	if *only != "" {
		err = show(strings.Split(*only, ","), *seeds, *attempts)
	} else {
		err = write(*out, *seeds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// show prints the tables of some scenarios.
func show(names []string, seeds int, attempts bool) error {
	for _, name := range names {
		s, ok := sim.At(name)
		if !ok {
			return fmt.Errorf("there is no scenario %q; write one of those in docs/balancing, such as A", name)
		}
		contenders := sim.Contenders(s)
		if attempts {
			contenders = sim.Attempts()
		}
		fmt.Printf("%s: %s\n\n%s\n", s.Name, s.Title, sim.Table(s, sim.RunAll(s, contenders, seeds)))
	}
	return nil
}

func write(out string, seeds int) error {
	readme := filepath.Join(out, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	var measured strings.Builder
	for _, s := range sim.Scenarios() {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.Name, s.Title)
		rows := sim.RunAll(s, sim.Contenders(s), seeds)
		fmt.Fprintf(&measured, "### %s: %s\n\n![%s](%s.svg)\n\n%s\n", s.Name, s.Title, s.Title, s.Name, sim.Table(s, rows))
		if err := os.WriteFile(filepath.Join(out, s.Name+".svg"), []byte(sim.Plot(s, rows)), 0o644); err != nil {
			return err
		}
	}
	page, err := between(string(text), "measured", measured.String())
	if err != nil {
		return err
	}
	var scenarios []sim.Scenario
	var rows [][]sim.Row
	for _, name := range []string{"B", "B8", "C", "D", "E", "K90", "L"} {
		fmt.Fprintln(os.Stderr, name+": what was tried")
		s, _ := sim.At(name)
		scenarios, rows = append(scenarios, s), append(rows, sim.RunAll(s, sim.Attempts(), seeds))
	}
	if page, err = between(page, "tried", sim.Compare(scenarios, rows)); err != nil {
		return err
	}
	return os.WriteFile(readme, []byte(page), 0o644)
}

// between replaces what stands between the markers of that name.
func between(text, name, with string) (string, error) {
	begin, end := "<!-- "+name+": begin -->", "<!-- "+name+": end -->"
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		return "", fmt.Errorf("README.md has no %s before %s; put both where the tables are to stand", begin, end)
	}
	return text[:i+len(begin)] + "\n\n" + strings.TrimSpace(with) + "\n\n" + text[j:], nil
}
