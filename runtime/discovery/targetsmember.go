package discovery

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// member is one target of a resolver. It is the channel that the target's resolver talks to, through a followedConn, so
// that its methods as a [resolver.ClientConn] are called with owner.mu held.
type member struct {
	resolver.ClientConn // for its ParseServiceConfig
	oneOfTargets
	owner *targetsResolver
	index int

	built   sync.Mutex
	running resolver.Resolver // nil before it is built; guarded by built

	// Guarded by owner.mu.
	last   *resolver.State            // nil before the first that could be used
	config *serviceconfig.ParseResult // the last that was valid
	err    error                      // what is wrong; nil since a state that had nothing wrong
	lost   bool                       // an error was reported since last
	next   time.Time                  // when the guard lets go of something
	stale  error
	// endpoints and resolved are what is shown, index by index.
	endpoints []Endpoint
	resolved  []resolver.Endpoint
}

// run builds the resolver, trying until it succeeds, and closes it when ctx ends.
func (m *member) run(ctx context.Context) {
	opts := m.owner.opts
	conn := &followedConn{}
	if name := m.authority(); name != opts.Authority && !credentialsNameServer(opts) {
		conn.serverName, opts.Authority = name, name // as in a channel to this target alone
	}
	for failures := 1; ctx.Err() == nil; failures++ {
		conn = &followedConn{ClientConn: m, mu: &m.owner.mu, serverName: conn.serverName}
		r, err := m.builder.Build(m.target.Target, conn, opts)
		if err != nil {
			conn.close()
			m.failed(err)
			m.owner.builder.pacing.pause(ctx, failures)
			continue
		}
		m.set(r)
		if conn.open() != nil {
			r.ResolveNow(resolver.ResolveNowOptions{})
		}
		<-ctx.Done()
		m.set(nil)
		conn.close()
		r.Close()
	}
}

func (m *member) set(r resolver.Resolver) {
	m.built.Lock()
	defer m.built.Unlock()
	m.running = r
}

func (m *member) resolveNow(o resolver.ResolveNowOptions) {
	m.built.Lock()
	r := m.running
	m.built.Unlock()
	if r != nil {
		r.ResolveNow(o)
	}
}

// failed reports that the resolver cannot be built.
func (m *member) failed(err error) {
	m.owner.mu.Lock()
	defer m.owner.mu.Unlock()
	m.ReportError(err)
}

// UpdateState implements [resolver.ClientConn].
func (m *member) UpdateState(s resolver.State) error {
	if given := s.ServiceConfig; given == nil || given.Err == nil {
		m.config, m.err = given, nil
	} else {
		m.err = &ServiceConfigError{Err: given.Err}
		if m.last == nil { // as in gRFC A21
			m.owner.heard()
			return m.err
		}
	}
	m.last, m.lost = &s, false
	m.show()
	return m.owner.push()
}

// ReportError implements [resolver.ClientConn].
func (m *member) ReportError(err error) {
	m.err = err
	if m.last == nil || m.lost {
		m.owner.heard()
		return
	}
	m.lost = true
	m.show()
	_ = m.owner.push()
}

// show takes over what the guard makes of the last state.
func (m *member) show() {
	if m.last == nil {
		return
	}
	var shown resolver.State
	shown, m.next = m.owner.builder.guarded(m.index, *m.last, m.lost)
	resolved, set := endpointsOf(shown), SetOf(shown)
	m.stale = nil
	switch kept := len(resolved) - len(endpointsOf(*m.last)); {
	case set != nil && set.Stale != nil:
		m.stale = set.Stale
	case m.lost:
		m.stale = m.err
	case kept > 0:
		m.stale = &HeldError{Endpoints: kept, Until: m.next}
	}
	if set != nil && len(set.Endpoints) != len(resolved) {
		set = nil
	}
	m.endpoints = make([]Endpoint, 0, len(resolved))
	m.resolved = make([]resolver.Endpoint, 0, len(resolved))
	for i, r := range resolved {
		if len(r.Addresses) == 0 {
			continue
		}
		var e Endpoint
		if set != nil {
			e = set.Endpoints[i]
		} else {
			e = plainEndpoint(r)
		}
		e.Priority = uint32(m.index)*priorityStride + min(e.Priority, maxPriority)
		e.target = m.target.String()
		m.endpoints = append(m.endpoints, e)
		m.resolved = append(m.resolved, r)
	}
}
