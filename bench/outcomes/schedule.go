package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goresilient/goresilient/bench/internal/fleet"
)

// fault is what can happen to a server for a while.
type fault struct {
	name  string
	begin func(*fleet.Server) error
	end   func(*fleet.Server) error
}

var healthy = fleet.Behaviour{Mean: mean}

// behaving is a fault by which a server goes on answering, or not.
func behaving(name string, b fleet.Behaviour) fault {
	set := func(b fleet.Behaviour) func(*fleet.Server) error {
		return func(s *fleet.Server) error {
			s.Behave(b)
			return nil
		}
	}
	return fault{name, set(b), set(healthy)}
}

// patience is how long a server that leaves lets calls end.
const patience = 500 * time.Millisecond

var faults = []fault{
	behaving("fails every call", fleet.Behaviour{Mean: mean, Failing: 1}),
	behaving("fails a third of its calls", fleet.Behaviour{Mean: mean, Failing: 0.33}),
	behaving("hangs", fleet.Behaviour{Mean: mean, Hanging: true}),
	behaving("is 20 times slower", fleet.Behaviour{Mean: 20 * mean}),
	{"crashes", (*fleet.Server).Down, (*fleet.Server).Up},
	{"leaves", func(s *fleet.Server) error { return s.Leave(patience) }, (*fleet.Server).Up},
	{
		"resets its connections",
		func(s *fleet.Server) error { s.Reset(); return nil },
		func(s *fleet.Server) error { s.Reset(); return nil },
	},
}

// event is a fault of one server.
type event struct {
	at, until time.Duration // since the start
	server    int
	fault     fault
}

// schedule is what happens in a run. It follows from its seed.
type schedule []event

// newSchedule has a server fail every 1.5 seconds or so, for 1 to 4 seconds, a server with one fault at a time and each kind of
// fault as often as the others.
func newSchedule(seed uint64, from, length time.Duration) schedule {
	draw := rand.New(rand.NewPCG(seed, 0))
	var s schedule
	free := make([]time.Duration, servers) // from when a server may have another fault
	var kinds []fault
	seconds := func(least, most float64) time.Duration {
		return time.Duration((least + (most-least)*draw.Float64()) * float64(time.Second))
	}
	for at := from + seconds(0, 1); at < from+length-time.Second; at += seconds(0.5, 2.5) {
		if len(kinds) == 0 {
			kinds = slices.Clone(faults)
			draw.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		}
		server := draw.IntN(servers)
		if free[server] > at {
			continue
		}
		until := min(at+seconds(1, 4), from+length)
		free[server] = until + time.Second
		s = append(s, event{at, until, server, kinds[0]})
		kinds = kinds[1:]
	}
	return s
}

// play makes everything happen, and returns when all is well again.
func (s schedule) play(start time.Time, all fleet.Fleet) error {
	errs := make([]error, len(s))
	var wg sync.WaitGroup
	for i, e := range s {
		wg.Go(func() {
			time.Sleep(time.Until(start.Add(e.at)))
			begun := e.fault.begin(all[e.server])
			time.Sleep(time.Until(start.Add(e.until)))
			errs[i] = errors.Join(begun, e.fault.end(all[e.server]))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// String counts the faults.
func (s schedule) String() string {
	count := make(map[string]int)
	for _, e := range s {
		count[e.fault.name]++
	}
	var parts []string
	for _, f := range faults {
		parts = append(parts, fmt.Sprintf("a server %s: %d times", f.name, count[f.name]))
	}
	slices.SortFunc(parts, cmp.Compare)
	return strings.Join(parts, ", ")
}
