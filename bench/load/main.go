// Command load puts servers of which some are slow under load, and prints how the calls of each balancer go. It runs ours and
// those of peers in turn, over the same servers and with the same arrivals.
//
//	GOWORK=off go run ./load
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/goresilient/goresilient/bench/internal/clients"
	"github.com/goresilient/goresilient/bench/internal/fleet"
	"github.com/goresilient/goresilient/bench/internal/silence"
	"github.com/goresilient/goresilient/bench/internal/traffic"
)

// The servers: at 70 % load, two cores carry both sides. A slow one keeps up with 8 calls a second, and its share by turns
// would be 50.
const (
	servers = 20
	workers = 8
	mean    = 100 * time.Millisecond
	slow    = 2
	slower  = 10 // times the mean
)

func main() {
	var (
		load    = flag.Float64("load", 0.7, "share of what all servers together can carry")
		measure = flag.Duration("measure", 15*time.Second, "how long each balancer is measured")
		warmUp  = flag.Duration("warm-up", 5*time.Second, "how long each balancer runs before")
		many    = flag.Int("clients", 50, "clients, each with a connection to each server")
		timeout = flag.Duration("timeout", 4*time.Second, "the callers' deadline")
		seed    = flag.Uint64("seed", 1, "of arrivals and service times")
		only    = flag.String("only", "", "a regular expression: measure those balancers alone whose names match")
	)
	flag.Parse()
	silence.Logs()
	plan := traffic.Plan{Rate: *load * capacity(), WarmUp: *warmUp, Measure: *measure, Timeout: *timeout, Seed: *seed}
	fmt.Printf("%d servers of %d workers, %v a call, %d of them %d times slower; %d clients, %.0f calls a second, %.0f %% load; deadline %v\n\n",
		servers, workers, mean, slow, slower, *many, plan.Rate, *load*100, *timeout)
	fmt.Println("| balancer | success | p50 | p99 | p99.9 |\n|---|---|---|---|---|")
	chosen, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "-only: %v\n", err)
		os.Exit(2)
	}
	for _, c := range contenders(*timeout) {
		if !chosen.MatchString(c.name) {
			continue
		}
		result, err := run(c, plan, *many)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("| %s | %.3f %% | %s | %s | %s |\n", c.name, 100*result.Success(),
			ms(result.Quantile(0.5)), ms(result.Quantile(0.99)), ms(result.Quantile(0.999)))
	}
}

// capacity is how many calls a second all servers together can carry.
func capacity() float64 {
	one := workers / mean.Seconds()
	return (servers-slow)*one + slow*one/slower
}

// run measures one contender over servers of its own.
func run(c contender, plan traffic.Plan, many int) (result traffic.Result, err error) {
	all, err := fleet.New(servers, workers, plan.Seed, func(i int) fleet.Behaviour {
		if i < slow {
			return fleet.Behaviour{Mean: slower * mean}
		}
		return fleet.Behaviour{Mean: mean}
	})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, all.Down()) }()
	group, err := clients.Several(many, func() (clients.Client, error) { return c.make(all.Addrs()) })
	defer func() { err = errors.Join(err, group.Close()) }()
	if err != nil {
		return result, fmt.Errorf("%s: %w", c.name, err)
	}
	return plan.Run(group.Calls()), nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
