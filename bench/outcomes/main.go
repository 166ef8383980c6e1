// Command outcomes has servers fail, hang, reset, leave and slow down on a schedule, alone, by the rack and one after the other,
// and prints how the calls of each client end. Ours and those of peers run in the same seconds, each over servers of its own,
// through the same faults and with the same arrivals.
//
//	GOWORK=off go run ./outcomes -page ../docs/outcomes.md
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/goresilient/goresilient/bench/internal/silence"
	"github.com/goresilient/goresilient/bench/internal/traffic"
)

func main() {
	var (
		seeds   = flag.Uint64("seeds", 5, "how many schedules; each is a run of its own, and all count together")
		first   = flag.Uint64("seed", 1, "the first seed, of faults, arrivals and service times")
		measure = flag.Duration("measure", time.Minute, "how long each run is measured")
		warmUp  = flag.Duration("warm-up", 5*time.Second, "how long each run goes before, without faults")
		rate    = flag.Float64("rate", 150, "calls a second of each contender")
		only    = flag.String("clients", "", "a regular expression; runs only those whose name it matches")
		slow    = flag.Duration("trace", 0, "prints those calls of ours that fail or take this long, with their attempts; 0: none")
		page    = flag.String("page", "", "the page whose table to write, ../docs/outcomes.md")
	)
	flag.Parse()
	silence.Logs()
	plan := traffic.Plan{Rate: *rate, WarmUp: *warmUp, Measure: *measure, Timeout: timeout}
	var trace *tracer
	if *slow > 0 {
		trace = &tracer{from: *slow, began: time.Now()}
	}
	match, err := regexp.Compile(*only)
	if err == nil {
		list := slices.DeleteFunc(contenders(trace), func(c contender) bool { return !match.MatchString(c.name) })
		if len(list) == 0 || *seeds == 0 {
			err = fmt.Errorf("outcomes: nothing to run; -clients %q must match a client, and -seeds be 1 or more", *only)
		} else {
			err = compare(list, plan, *first, *seeds, *page)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compare runs the seeds and prints what came out; it writes it into a page, unless that is "".
func compare(list []contender, plan traffic.Plan, first, seeds uint64, page string) error {
	felt := feel()
	total, happened, err := runSeeds(list, plan, first, seeds)
	strained := felt.end()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d seeds of %.0f s, %d calls of each client; %s.\n\nWhat happened: %s.\n\n%s", seeds, plan.Measure.Seconds(),
		len(total[list[0].name].Latencies), strained, count(happened), table(list, total))
	fmt.Println(text)
	if page == "" {
		return nil
	}
	return publish(page, "outcomes", text)
}

// runSeeds runs one seed after the other, and tells of each as it ends.
func runSeeds(list []contender, plan traffic.Plan, first, seeds uint64) (total map[string]result, happened []schedule, err error) {
	for plan.Seed = first; plan.Seed < first+seeds; plan.Seed++ {
		faults := newSchedule(plan.Seed, plan.WarmUp, plan.Measure)
		results, err := runAll(list, plan, faults)
		if err != nil {
			return nil, nil, err
		}
		total, happened = merge(total, results), append(happened, faults)
		fmt.Fprintf(os.Stderr, "seed %d\n\n%s\n", plan.Seed, table(list, results))
	}
	return total, happened, nil
}
