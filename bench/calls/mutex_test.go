package calls_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goresilient/goresilient/bench/internal/contest"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// contended is which part of the time of all goroutines may pass in waiting for locks of ours: a budget's, a breaker's and an
// estimator's state is shared by all calls, and must not be what they wait for.
const contended = 0.001

// tries is how often it may be more: a lock that is in the way is so each time, one whose holder has its core taken away for some
// milliseconds is so once.
const tries = 3

// TestNoLockShows looks into the mutex profile of calls through shared guards, from one goroutine to sixteen.
func TestNoLockShows(t *testing.T) {
	for _, p := range []struct {
		name   string
		policy func() *policy.Service
	}{{"guards", guards}, {"deadlines", deadlines}, {"hedging armed", hedged}} {
		t.Run(p.name, func(t *testing.T) {
			call := ours(context.Background(), t, "ours", p.policy(), goresilient.WithConn(over(t, hollow)))
			for _, goroutines := range []int{1, 4, 16} {
				waited, stack := waits(t, call, goroutines)
				for try := 1; waited > contended && try < tries; try++ {
					waited, stack = waits(t, call, goroutines)
				}
				t.Logf("%d goroutines: %.6f of their time in waiting for locks", goroutines, waited)
				if waited > contended {
					t.Errorf("with %d goroutines, %.4f of the time passes in waiting for locks, at most %.3f; most of it here:\n%s", goroutines, waited, contended, stack)
				}
			}
		})
	}
}

// waits makes calls, and returns which part of the time of the goroutines passed in waiting for a sync.Mutex beneath code of
// the runtime, and the stack of most of it.
func waits(t *testing.T, call contest.Contender, goroutines int) (share float64, stack string) {
	const calls = 200_000
	before := blocked()
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	start := time.Now()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range calls / goroutines {
				if err := call.Call(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	var total, most int64
	for at, cycles := range blocked() {
		if cycles -= before[at]; cycles > most {
			most, stack = cycles, at
		}
		total += cycles
	}
	return float64(total) / cyclesPerSecond(t) / took.Seconds() / float64(goroutines), stack
}

// cyclesPerSecond is what the profile itself says of its unit.
func cyclesPerSecond(t *testing.T) (n float64) {
	var profile bytes.Buffer
	if err := pprof.Lookup("mutex").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(profile.String(), "cycles/second=")
	if _, err := fmt.Sscanf(rest, "%f", &n); err != nil {
		t.Fatalf("the profile does not say what a cycle is: %v", err)
	}
	return n
}

// blocked returns how many cycles have passed in waiting for each sync.Mutex of ours, by the stack that let go of it.
func blocked() map[string]int64 {
	records := make([]runtime.BlockProfileRecord, 1000)
	n, ok := runtime.MutexProfile(records)
	for !ok {
		records = make([]runtime.BlockProfileRecord, 2*n)
		n, ok = runtime.MutexProfile(records)
	}
	out := make(map[string]int64)
	for _, r := range records[:n] {
		if at := describe(r.Stack()); strings.Contains(at, "goresilient/runtime") && strings.Contains(at, "sync.(*") {
			out[at] += r.Cycles
		}
	}
	return out
}

func describe(stack []uintptr) string {
	var b strings.Builder
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		b.WriteString(f.Function + "\n")
		if !more {
			return b.String()
		}
	}
}
