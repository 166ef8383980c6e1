package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/goresilient/goresilient/bench/internal/clients"
	"github.com/goresilient/goresilient/bench/internal/fleet"
	"github.com/goresilient/goresilient/bench/internal/traffic"
)

// The servers, far from full: what goes wrong is what the schedule says.
const (
	servers = 12
	workers = 16
	mean    = 10 * time.Millisecond
	many    = 5           // clients
	timeout = time.Second // of each caller
)

// result is what became of a contender's calls.
type result struct {
	traffic.Result
	// made are all calls, those of the warm-up too; sent is how often they were sent to a server.
	made, sent int64
	// tails are the p99 of each seed.
	tails []time.Duration
}

// add puts what another seed brought to r.
func (r *result) add(s result) {
	r.Latencies = append(r.Latencies, s.Latencies...)
	slices.Sort(r.Latencies)
	if r.Failed == nil {
		r.Failed = make(map[codes.Code]int)
	}
	for code, n := range s.Failed {
		r.Failed[code] += n
	}
	r.made, r.sent = r.made+s.made, r.sent+s.sent
	r.tails = append(r.tails, s.tails...)
}

// runAll sends all contenders through the same faults with the same arrivals, each with servers of its own, in the same seconds.
func runAll(list []contender, plan traffic.Plan, faults schedule) (byName map[string]result, err error) {
	sides := make([]*side, len(list))
	defer func() {
		for _, s := range sides {
			if s != nil {
				err = errors.Join(err, s.close())
			}
		}
	}()
	for i, c := range list {
		if sides[i], err = newSide(c, plan.Seed); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	results, errs := make([]result, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	for i, s := range sides {
		wg.Go(func() { results[i], errs[i] = s.run(plan, faults) })
	}
	wg.Wait()
	byName = make(map[string]result, len(list))
	for i, c := range list {
		byName[c.name] = results[i]
	}
	return byName, errors.Join(errs...)
}

// side is the servers of a contender and its clients.
type side struct {
	servers fleet.Fleet
	clients clients.Group
	sent    attempts
}

// newSide starts servers, and clients that have each made a call.
func newSide(c contender, seed uint64) (s *side, err error) {
	s = new(side)
	if s.servers, err = fleet.New(servers, workers, seed, func(int) fleet.Behaviour { return healthy }); err != nil {
		return nil, err
	}
	addrs := s.servers.Addrs()
	s.clients, err = clients.Several(many, func() (clients.Client, error) {
		addrs = append(slices.Clone(addrs[1:]), addrs[0])
		return c.make(addrs, grpc.WithStatsHandler(&s.sent))
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, client := range s.clients {
		if err == nil {
			err = client.Call(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// run sends calls through the faults.
func (s *side) run(plan traffic.Plan, faults schedule) (result, error) {
	var made atomic.Int64
	before := s.sent.n.Load()
	calls := s.clients.Calls()
	for i, call := range calls {
		calls[i] = func(ctx context.Context) error {
			made.Add(1)
			return call(ctx)
		}
	}
	played := make(chan error, 1)
	go func() { played <- faults.play(time.Now(), s.servers) }()
	r := result{Result: plan.Run(calls)}
	err := <-played
	r.tails = []time.Duration{r.Quantile(0.99)}
	r.made, r.sent = made.Load(), s.sent.n.Load()-before
	return r, err
}

func (s *side) close() error { return errors.Join(s.clients.Close(), s.servers.Down()) }

// merge adds the results of a seed to those before.
func merge(total, seed map[string]result) map[string]result {
	sum := maps.Clone(total)
	if sum == nil {
		sum = make(map[string]result)
	}
	for name, r := range seed {
		t := sum[name]
		t.add(r)
		sum[name] = t
	}
	return sum
}
