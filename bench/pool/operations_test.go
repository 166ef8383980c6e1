package pool_test

import (
	"testing"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/bench/internal/fake"
)

// states are what the resolver says: n endpoints, and n of which one is another.
type states struct {
	n        int
	list     resolver.State
	equal    resolver.State // to list, in other memory
	replaced resolver.State
}

func newStates(tb testing.TB, n int) states {
	endpoints := fake.Endpoints(n)
	s := states{n: n, list: fake.Resolved(tb, endpoints), equal: fake.Resolved(tb, endpoints)}
	endpoints[n/2].Addresses = []string{"10.255.0.1:443"}
	s.replaced = fake.Resolved(tb, endpoints)
	return s
}

// up returns a side with all endpoints READY, which ends with the test.
func (s states) up(tb testing.TB, of side) *fake.Subject {
	subject := of.make(tb, s.n)
	subject.BringUp(tb, s.list)
	tb.Cleanup(subject.Close)
	return subject
}

// step is what is measured, after what is not.
type step struct {
	prepare, run func()
}

// operation is a change of the set of endpoints, done to a side again and again.
type operation struct {
	name  string
	begin func(tb testing.TB, s states, of side) step
}

var operations = []operation{
	{"bring-up", func(tb testing.TB, s states, of side) step {
		return step{run: func() {
			subject := of.make(tb, s.n)
			subject.BringUp(tb, s.list)
			subject.Close()
		}}
	}},
	{"one READY", func(tb testing.TB, s states, of side) step {
		subject := s.up(tb, of)
		live := subject.Conn.Live()
		one := live[len(live)/2]
		return step{
			prepare: func() {
				one.Becomes(connectivity.Idle)
				one.Becomes(connectivity.Connecting)
				subject.Settle()
			},
			run: func() {
				one.Becomes(connectivity.Ready)
				subject.Settle()
			},
		}
	}},
	{"one replaced", func(tb testing.TB, s states, of side) step {
		subject := s.up(tb, of)
		to, next := s.replaced, s.list
		return step{run: func() {
			subject.Update(tb, to)
			subject.Conn.Newest().Connects()
			subject.Settle()
			to, next = next, to
		}}
	}},
	{"same list", func(tb testing.TB, s states, of side) step {
		subject := s.up(tb, of)
		to, next := s.equal, s.list
		return step{run: func() {
			subject.Update(tb, to)
			subject.Settle()
			to, next = next, to
		}}
	}},
	{"same state", func(tb testing.TB, s states, of side) step {
		subject := s.up(tb, of)
		return step{run: func() {
			subject.Update(tb, s.list)
			subject.Settle()
		}}
	}},
	{"one flapping", func(tb testing.TB, s states, of side) step {
		subject := s.up(tb, of)
		live := subject.Conn.Live()
		one := live[len(live)/2]
		return step{run: func() {
			one.Becomes(connectivity.Idle)
			one.Becomes(connectivity.Connecting)
			one.Becomes(connectivity.Ready)
			subject.Settle()
		}}
	}},
}
