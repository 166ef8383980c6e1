package main

import (
	"fmt"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	const from, length = 5 * time.Second, 30 * time.Second
	for seed := range uint64(200) {
		s := newSchedule(seed, from, length)
		if again := newSchedule(seed, from, length); fmt.Sprint(times(s)) != fmt.Sprint(times(again)) {
			t.Fatalf("seed %d: two schedules of one seed differ", seed)
		}
		outages := make(map[string]int)
		for i, e := range s {
			if e.at < from || e.until > from+length || e.until <= e.at {
				t.Errorf("seed %d: %v is outside of the run", seed, times(s[i:i+1]))
			}
			for _, other := range s[:i] {
				if other.server == e.server && e.at < other.until+recovery {
					t.Errorf("seed %d: server %d has two faults at a time: %v", seed, e.server, times(schedule{other, e}))
				}
			}
			if e.cause == byRack {
				outages[e.fault.name]++
			}
		}
		for _, f := range shared {
			if got := outages[f.name]; got != servers/racks {
				t.Errorf("seed %d: in 30 s, a rack %s with %d servers, want %d", seed, f.name, got, servers/racks)
			}
		}
	}
}

// times are the events without their functions.
func times(s schedule) (out []string) {
	for _, e := range s {
		out = append(out, fmt.Sprint(e.at, e.until, e.server, e.cause, e.fault.name))
	}
	return out
}
