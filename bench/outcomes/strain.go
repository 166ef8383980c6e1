package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

// strain is how busy the machine was: latencies are those of the clients only as long as there is time to spare.
type strain struct {
	began time.Time
	used  time.Duration
	stop  chan struct{}
	late  chan []time.Duration
}

// feel begins to look.
func feel() *strain {
	s := &strain{began: time.Now(), used: processorTime(), stop: make(chan struct{}), late: make(chan []time.Duration, 1)}
	go s.watch()
	return s
}

// watch notes by how much a timer is late, all the time.
func (s *strain) watch() {
	const every = 5 * time.Millisecond
	var late []time.Duration
	for {
		began := time.Now()
		select {
		case <-s.stop:
			s.late <- late
			return
		case <-time.After(every):
			late = append(late, time.Since(began)-every)
		}
	}
}

// end ends the looking and tells what was seen.
func (s *strain) end() string {
	close(s.stop)
	late := <-s.late
	slices.Sort(late)
	busy := float64(processorTime()-s.used) / float64(time.Since(s.began))
	return fmt.Sprintf("%.0f %% of one core was busy; timers were late by %s (p50), %s (p99), %s (at most)", 100*busy,
		tenths(late[len(late)/2]), tenths(late[len(late)*99/100]), tenths(late[len(late)-1]))
}

// processorTime is what the process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func tenths(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
