// Package traffic makes calls at a given rate, whether or not those before have ended, and says how they went.
package traffic

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Call is a call of a client. Its context has the deadline of the caller, if there is one.
type Call func(ctx context.Context) error

// Plan is how calls are made: each client's arrivals are a Poisson process that follows from the seed.
type Plan struct {
	Rate    float64       // calls a second, of all clients together
	WarmUp  time.Duration // calls that begin before do not count
	Measure time.Duration
	Timeout time.Duration // the caller's deadline, from the call's arrival; 0 for none
	Seed    uint64
}

// Result is how the calls that count went.
type Result struct {
	// Latencies are those of all calls, of failed ones too, sorted. A latency counts from when the call was due: a client
	// that falls behind is seen.
	Latencies []time.Duration
	// Failed are the calls that failed, by code.
	Failed map[codes.Code]int
}

// Run carries plan out with one client for each call function, and returns when all calls have ended.
func (p Plan) Run(clients []Call) Result {
	parts := make([]recorder, len(clients))
	var wg sync.WaitGroup
	start := time.Now()
	for i, call := range clients {
		wg.Go(func() { p.client(start, uint64(i), p.Rate/float64(len(clients)), call, &parts[i]) })
	}
	wg.Wait()
	result := Result{Failed: make(map[codes.Code]int)}
	for i := range parts {
		result.Latencies = append(result.Latencies, parts[i].latencies...)
		for _, c := range parts[i].failed {
			result.Failed[c]++
		}
	}
	slices.Sort(result.Latencies)
	return result
}

// client makes the calls of one client.
func (p Plan) client(start time.Time, stream uint64, rate float64, call Call, to *recorder) {
	draw := rand.New(rand.NewPCG(p.Seed, stream))
	var wg sync.WaitGroup
	defer wg.Wait()
	for due := start; ; {
		due = due.Add(time.Duration(draw.ExpFloat64() / rate * float64(time.Second)))
		after := due.Sub(start)
		if after > p.WarmUp+p.Measure {
			return
		}
		time.Sleep(time.Until(due))
		wg.Go(func() {
			err := p.call(due, call)
			if after >= p.WarmUp {
				to.add(time.Since(due), err)
			}
		})
	}
}

func (p Plan) call(due time.Time, call Call) error {
	ctx := context.Background()
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due.Add(p.Timeout))
		defer cancel()
	}
	return call(ctx)
}

type recorder struct {
	mu        sync.Mutex // guards what follows
	latencies []time.Duration
	failed    []codes.Code
}

func (r *recorder) add(latency time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latencies = append(r.latencies, latency)
	if err != nil {
		r.failed = append(r.failed, status.Code(err))
	}
}

// Success returns the share of calls that did not fail.
func (r Result) Success() float64 {
	failed := 0
	for _, n := range r.Failed {
		failed += n
	}
	return 1 - float64(failed)/float64(len(r.Latencies))
}

// Quantile returns the latency that a share q of the calls did not exceed.
func (r Result) Quantile(q float64) time.Duration {
	return r.Latencies[min(int(q*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// Codes returns how many calls failed with each code, e.g., "3 Unavailable, 1 DeadlineExceeded"; "none" for none.
func (r Result) Codes() string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(r.Failed)) {
		parts = append(parts, fmt.Sprintf("%d %v", r.Failed[c], c))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
