package discovery

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

// targetsResolver merges what the resolvers of several targets say. Each is built, and closed, by a goroutine of its own,
// which runs from Build to Close.
type targetsResolver struct {
	builder *Targets
	cc      resolver.ClientConn
	opts    resolver.BuildOptions
	members []*member
	cancel  context.CancelFunc
	running sync.WaitGroup

	// mu guards what follows, and serialises all that reaches cc. Nothing of a target's resolver is called with mu held.
	mu       sync.Mutex
	closed   bool
	open     bool        // a state was given to cc
	patient  bool        // no target is waited for any more
	waiting  *time.Timer // until it is
	again    *time.Timer // when a guard lets go of something; nil for never
	revision int64
}

// noter is a channel that can be told of errors that are no reason to fail.
type noter interface{ note(error) }

// ResolveNow implements [resolver.Resolver]: all targets are resolved again.
func (r *targetsResolver) ResolveNow(o resolver.ResolveNowOptions) {
	for _, m := range r.members {
		m.resolveNow(o)
	}
}

// Close implements [resolver.Resolver]. It returns once the resolvers of all targets are closed.
func (r *targetsResolver) Close() {
	r.cancel()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.waiting.Stop()
	if r.again != nil {
		r.again.Stop()
	}
}

// waited ends the wait for targets that have said nothing.
func (r *targetsResolver) waited() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.patient = true
	if !r.closed && !r.open {
		_ = r.push()
	}
}

// showAgain asks the guards anew and gives the state to cc once more.
func (r *targetsResolver) showAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.open {
		return
	}
	for _, m := range r.members {
		m.show()
	}
	_ = r.push()
}

// push gives cc the merged state, unless a better target has still to be waited for; mu is held.
func (r *targetsResolver) push() error {
	if !r.open && !r.settled() {
		r.tell()
		return nil
	}
	r.open = true
	r.waiting.Stop()
	err := r.cc.UpdateState(r.merged())
	r.tell()
	r.schedule()
	return err
}

// heard takes note of an error that changes nothing about the endpoints; mu is held.
func (r *targetsResolver) heard() {
	if r.open {
		r.tell()
	} else {
		_ = r.push()
	}
}

// settled reports whether the first state can be given: some target has endpoints, or is empty and all others have
// spoken, and none before it is waited for.
func (r *targetsResolver) settled() bool {
	loaded := false
	for _, m := range r.members {
		switch {
		case len(m.endpoints) > 0:
			return true
		case m.last != nil:
			loaded = true
		case m.err == nil && !r.patient:
			return false
		}
	}
	return loaded
}

// merged returns what all targets say; mu is held.
func (r *targetsResolver) merged() resolver.State {
	r.revision++
	set := &Set{Revision: r.revision, Endpoints: []Endpoint{}}
	var state resolver.State
	first := true
	stale := &TargetsError{}
	seen := make(map[string]bool)
	for _, m := range r.members {
		if m.last == nil {
			continue
		}
		if first {
			state.Attributes, first = m.last.Attributes, false
		}
		if state.ServiceConfig == nil {
			state.ServiceConfig = m.config
		}
		if m.stale != nil {
			stale.Errors = append(stale.Errors, &TargetError{m.target.String(), m.stale})
		}
		for i, e := range m.endpoints {
			if id := e.ID(); !seen[id] {
				seen[id] = true
				set.Endpoints = append(set.Endpoints, e)
				set.resolved = append(set.resolved, m.resolved[i])
			}
		}
	}
	if len(stale.Errors) > 0 {
		stale.Others = len(r.members) - len(stale.Errors)
		set.Stale = stale
	}
	if set.resolved == nil {
		set.resolved = []resolver.Endpoint{} // grpc would look at Addresses instead
	}
	state.Endpoints = set.resolved
	state.Attributes = withSet(state.Attributes, set)
	return state
}

// tell reports the errors that last; mu is held.
func (r *targetsResolver) tell() {
	err := &TargetsError{}
	for _, m := range r.members {
		if m.err != nil {
			err.Errors = append(err.Errors, &TargetError{m.target.String(), m.err})
		} else {
			err.Others++
		}
	}
	switch n, ok := r.cc.(noter); {
	case len(err.Errors) == 0:
	case err.Others == 0:
		r.cc.ReportError(err)
	case ok:
		n.note(err)
	case r.open: // grpc takes no harm from an error once it has endpoints
		r.cc.ReportError(err)
	}
}

// schedule sets the timer for the next endpoint that a guard lets go; mu is held.
func (r *targetsResolver) schedule() {
	if r.again != nil {
		r.again.Stop()
		r.again = nil
	}
	var next time.Time
	for _, m := range r.members {
		if !m.next.IsZero() && (next.IsZero() || m.next.Before(next)) {
			next = m.next
		}
	}
	if !next.IsZero() {
		r.again = time.AfterFunc(time.Until(next), r.showAgain)
	}
}
