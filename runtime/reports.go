package goresilient

import (
	"errors"
	"sync"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// reports remembers what discovery said last, for those who wait in a dial. The zero value is ready.
type reports struct {
	mu        sync.Mutex
	err       error // of the last report; nil after a good one
	endpoints int   // of the last good report
	seen      bool  // whether there was a good one
	changed   chan struct{}
}

// resolutions is the state of discovery.
type resolutions struct {
	err       error
	endpoints int
	seen      bool
}

func (r *reports) resolved(endpoints int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var invalid *discovery.ServiceConfigError
	if !errors.As(r.err, &invalid) { // which comes with a state, just before it
		r.err = nil
	}
	r.endpoints, r.seen = endpoints, true
	r.wake()
}

func (r *reports) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.wake()
}

func (r *reports) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// last returns the state of discovery, and a channel that is closed when it changes.
func (r *reports) last() (resolutions, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return resolutions{r.err, r.endpoints, r.seen}, r.changed
}
