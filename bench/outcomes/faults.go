package main

import (
	"errors"
	"time"

	"github.com/goresilient/goresilient/bench/internal/fleet"
)

// fault is what can happen to a server for a while.
type fault struct {
	name  string // what the server does, e.g., "crashes"
	begin func(*fleet.Server) error
	end   func(*fleet.Server) error
}

var healthy = fleet.Behaviour{Mean: mean}

// behaving is a fault of a server that keeps its connections.
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

var (
	failsAll = behaving("fails every call", fleet.Behaviour{Mean: mean, Failing: 1})
	hangs    = behaving("hangs", fleet.Behaviour{Mean: mean, Hanging: true})
	crashes  = fault{"crashes", (*fleet.Server).Down, (*fleet.Server).Up}
	leaves   = fault{"leaves", func(s *fleet.Server) error { return s.Leave(patience) }, (*fleet.Server).Up}

	// alone are the faults of one server.
	alone = []fault{
		failsAll, hangs, crashes, leaves,
		behaving("fails a third of its calls", fleet.Behaviour{Mean: mean, Failing: 0.33}),
		behaving("is 20 times slower", fleet.Behaviour{Mean: 20 * mean}),
		{"resets its connections, twice", resets, resets},
	}
	// shared are the faults of a rack.
	shared = []fault{hangs, failsAll, crashes}
)

func resets(s *fleet.Server) error {
	s.Reset()
	return nil
}

// happen has f happen to s until a time.
func (f fault) happen(s *fleet.Server, until time.Time) error {
	begun := f.begin(s)
	time.Sleep(time.Until(until))
	return errors.Join(begun, f.end(s))
}
