package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
)

// result is what one client achieved.
type result struct {
	name      string
	calls     int
	succeeded int
	latencies []time.Duration // of all calls, sorted
	served    map[string]int  // calls answered, by server
}

// measure sends calls at a fixed rate, whether earlier ones have returned or not: a slow server must not slow the load.
func measure(ctx context.Context, c contender) (result, error) {
	client, closeClient, err := c.dial()
	if err != nil {
		return result{}, err
	}
	defer func() { _ = closeClient() }()

	r := result{name: c.name, served: make(map[string]int)}
	var mu sync.Mutex
	var calls sync.WaitGroup
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	total := int(phase.Seconds() * rate)
	for i := range total {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
		if i%(total/20) == 0 {
			fmt.Print(".")
		}
		calls.Go(func() {
			server, took := call(ctx, client)
			mu.Lock()
			defer mu.Unlock()
			r.calls++
			r.latencies = append(r.latencies, took)
			if server != "" {
				r.succeeded++
				r.served[server]++
			}
		})
	}
	calls.Wait()
	fmt.Println(" done")
	slices.Sort(r.latencies)
	return r, nil
}

// call makes one call and returns who answered, "" for nobody, and how long it took.
func call(ctx context.Context, client getter) (server string, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	start := time.Now()
	item, err := client.GetItem(ctx, &inventoryv1.GetItemRequest{ItemId: "42"})
	took = time.Since(start)
	if err != nil {
		return "", took
	}
	return item.GetServer(), took
}

// quantile returns the value below which a share q of all calls lies.
func (r result) quantile(q float64) time.Duration {
	return r.latencies[min(int(q*float64(len(r.latencies))), len(r.latencies)-1)]
}

func printTable(w io.Writer, servers []*server, results []result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "client\tcalls\tsucceeded\tp50\tp99\t")
	for _, s := range servers {
		fmt.Fprintf(t, "%s\t", s.name)
	}
	fmt.Fprintln(t)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%v\t%v\t", r.name, r.calls, 100*float64(r.succeeded)/float64(r.calls),
			r.quantile(0.5).Round(100*time.Microsecond), r.quantile(0.99).Round(100*time.Microsecond))
		for _, s := range servers {
			fmt.Fprintf(t, "%.0f %%\t", 100*float64(r.served[s.name])/float64(r.calls))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
	fmt.Fprintln(w, "\nThe columns to the right are each server's share of the calls.")
}
