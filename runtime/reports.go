package goresilient

import "sync"

// reports remembers what discovery said last, for those who wait in a dial. The zero value is ready.
type reports struct {
	mu      sync.Mutex
	last    resolutions
	changed chan struct{} // nil while nobody waits
}

// resolutions is the state of discovery.
type resolutions struct {
	err  error // of the last report; nil after a good one
	seen bool  // whether there was a good one
}

// resolved notes a state, and what is wrong with its service config; nil for nothing.
func (r *reports) resolved(invalid error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = resolutions{err: invalid, seen: r.last.seen || invalid == nil}
	r.wake()
}

// failed notes an error of discovery.
func (r *reports) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.err = err
	r.wake()
}

// explained notes why a good state had no endpoints, unless something else has been said since; nil says nothing.
func (r *reports) explained(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.err == nil {
		r.last.err = err
	}
}

func (r *reports) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// now returns the state of discovery.
func (r *reports) now() resolutions {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// watch returns the state of discovery, and a channel that is closed when it changes.
func (r *reports) watch() (resolutions, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.last, r.changed
}
