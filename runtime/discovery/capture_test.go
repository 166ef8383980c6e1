package discovery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/resolver"
)

// capture is a channel that keeps what a resolver tells it. It fails the test when two calls overlap.
type capture struct {
	resolver.ClientConn
	t      *testing.T
	answer func(resolver.State) error // nil: accept
	block  func()                     // called by UpdateState; nil: nothing

	busy   sync.Mutex
	mu     sync.Mutex
	states []resolver.State
	errs   []error
}

func (c *capture) enter() func() {
	if !c.busy.TryLock() {
		c.t.Error("two calls into the channel at once")
		return func() {}
	}
	return c.busy.Unlock
}

func (c *capture) UpdateState(s resolver.State) error {
	defer c.enter()()
	if c.block != nil {
		c.block()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
	if c.answer != nil {
		return c.answer(s)
	}
	return nil
}

func (c *capture) ReportError(err error) {
	defer c.enter()()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *capture) count() (states, errs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.states), len(c.errs)
}

func (c *capture) last() resolver.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) == 0 {
		return resolver.State{}
	}
	return c.states[len(c.states)-1]
}

func (c *capture) lastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.errs) == 0 {
		return nil
	}
	return c.errs[len(c.errs)-1]
}

// addresses of the last state, the first of each endpoint.
func (c *capture) addresses() []string {
	var out []string
	for _, e := range c.last().Endpoints {
		out = append(out, e.Addresses[0].Addr)
	}
	for _, a := range c.last().Addresses {
		out = append(out, a.Addr)
	}
	return out
}

// expect checks what the channel has been told so far.
func (c *capture) expect(states, errs int, addresses ...string) {
	c.t.Helper()
	s, e := c.count()
	if s != states || e != errs || !slices.Equal(c.addresses(), addresses) {
		c.t.Fatalf("got %d states, %d errors, last %v (%v); want %d, %d, %v",
			s, e, c.addresses(), c.lastError(), states, errs, addresses)
	}
}

// script is a source with one watcher, whose events the test writes.
type script struct {
	steps     chan step
	closed    chan struct{}
	once      sync.Once
	mu        sync.Mutex
	refreshes int
	calls     []time.Time // of Next
}

type step struct {
	event Event
	err   error
}

func newScript() *script {
	return &script{steps: make(chan step, 100), closed: make(chan struct{})}
}

func (s *script) Watch() Watcher { return s }

func (s *script) Next(ctx context.Context) (Event, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	s.mu.Unlock()
	select {
	case <-s.closed:
		return Event{}, ErrClosed
	case <-ctx.Done():
		return Event{}, ctx.Err()
	case st := <-s.steps:
		return st.event, st.err
	}
}

func (s *script) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes++
}

func (s *script) Close() { s.once.Do(func() { close(s.closed) }) }

func (s *script) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *script) send(ev Event)  { s.steps <- step{event: ev} }
func (s *script) fail(err error) { s.steps <- step{err: err} }

// entries makes one entry per address, with the address as its key.
func entries(addresses ...string) []Entry {
	var out []Entry
	for _, a := range addresses {
		out = append(out, Entry{Key: a, Endpoint: Endpoint{Addresses: []string{a}, Weight: 1}})
	}
	return out
}

var errBackend = errors.New("backend is down")
