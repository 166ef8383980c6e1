// Command outcomes has servers fail, hang, reset, leave and slow down on a schedule, and prints how the calls of each client
// end. It runs ours and those of peers in turn, through the same faults and with the same arrivals.
//
//	GOWORK=off go run ./outcomes
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/goresilient/goresilient/bench/internal/clients"
	"github.com/goresilient/goresilient/bench/internal/fleet"
	"github.com/goresilient/goresilient/bench/internal/silence"
	"github.com/goresilient/goresilient/bench/internal/traffic"
)

// The servers, far from full: what goes wrong is what the schedule says.
const (
	servers = 10
	workers = 16
	mean    = 10 * time.Millisecond
	many    = 10 // clients
	rate    = 400.0
	timeout = time.Second // of each caller
)

func main() {
	var (
		measure = flag.Duration("measure", 40*time.Second, "how long each client is measured")
		warmUp  = flag.Duration("warm-up", 3*time.Second, "how long each client runs before, without faults")
		seed    = flag.Uint64("seed", 1, "of faults, arrivals and service times")
	)
	flag.Parse()
	silence.Logs()
	schedule := newSchedule(*seed, *warmUp, *measure)
	plan := traffic.Plan{Rate: rate, WarmUp: *warmUp, Measure: *measure, Timeout: timeout, Seed: *seed}
	fmt.Printf("%d servers, %v a call on average, %.0f calls a second, deadline %v; %v\n\n", servers, mean, rate, timeout, schedule)
	fmt.Println("| client | success | p50 | p99 | p99.9 | failures |\n|---|---|---|---|---|---|")
	for _, c := range contenders() {
		result, err := run(c, plan, schedule)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("| %s | %.3f %% | %s | %s | %s | %v |\n", c.name, 100*result.Success(),
			ms(result.Quantile(0.5)), ms(result.Quantile(0.99)), ms(result.Quantile(0.999)), result.Codes())
	}
}

// run sends one client through the faults.
func run(c contender, plan traffic.Plan, schedule schedule) (result traffic.Result, err error) {
	all, err := fleet.New(servers, workers, plan.Seed, func(int) fleet.Behaviour { return fleet.Behaviour{Mean: mean} })
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, all.Down()) }()
	group, err := clients.Several(many, func() (clients.Client, error) { return c.make(all.Addrs()) })
	defer func() { err = errors.Join(err, group.Close()) }()
	if err != nil {
		return result, fmt.Errorf("%s: %w", c.name, err)
	}
	faults := make(chan error, 1)
	go func() { faults <- schedule.play(time.Now(), all) }()
	result = plan.Run(group.Calls())
	return result, <-faults
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
