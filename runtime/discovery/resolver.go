package discovery

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/resolver"
)

// errNoSnapshot is reported when a source breaks its contract.
var errNoSnapshot = errors.New("discovery: the source sent changes before its first snapshot; " +
	"the first event of a Watcher must have Reset set")

// sourceResolver carries the events of one watcher to one channel. Its goroutine runs from Build to Close and owns
// all below done.
type sourceResolver struct {
	open   func() (Source, error)
	cc     resolver.ClientConn
	pacing pacing
	cancel context.CancelFunc
	done   chan struct{}

	failures int // in a row
	view     view
	rejected bool // the channel refused the last state

	mu      sync.Mutex // guards watcher, for ResolveNow
	watcher Watcher
}

func startResolver(open func() (Source, error), cc resolver.ClientConn, serverNames bool, p pacing) *sourceResolver {
	ctx, cancel := context.WithCancel(context.Background())
	r := &sourceResolver{open: open, cc: cc, pacing: p, cancel: cancel, done: make(chan struct{})}
	r.view.serverNames = serverNames
	go r.run(ctx)
	return r
}

// ResolveNow implements [resolver.Resolver].
func (r *sourceResolver) ResolveNow(resolver.ResolveNowOptions) {
	r.mu.Lock()
	w := r.watcher
	r.mu.Unlock()
	if w != nil {
		w.Refresh()
	}
}

// Close implements [resolver.Resolver]. It returns once the watcher is closed and nothing more will be reported.
func (r *sourceResolver) Close() {
	r.cancel()
	<-r.done
}

func (r *sourceResolver) run(ctx context.Context) {
	defer close(r.done)
	watcher := r.watch(ctx)
	if watcher == nil {
		return
	}
	defer watcher.Close()
	for {
		ev, err := watcher.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrClosed):
			// Somebody else closed it, a registry at its end perhaps. What is known stays in use.
			r.failed(err)
			return
		case err == nil && !ev.Reset && !r.view.loaded:
			err = errNoSnapshot
		}
		if err == nil {
			r.failures = 0
			r.push(r.view.apply(ev))
			continue
		}
		r.failed(err)
		if !r.pacing.pause(ctx, r.failures) {
			return
		}
	}
}

// watch opens the source, trying until it succeeds; nil if ctx ended first.
func (r *sourceResolver) watch(ctx context.Context) Watcher {
	for ctx.Err() == nil {
		src, err := r.open()
		if err == nil {
			w := src.Watch()
			r.mu.Lock()
			r.watcher = w
			r.mu.Unlock()
			return w
		}
		r.failed(err)
		if !r.pacing.pause(ctx, r.failures) {
			return nil
		}
	}
	return nil
}

// push reports the state if it changed, or if the channel refused the one before. A refused state is not sent again
// until the source speaks: a watch gains nothing from asking again, and would spin.
func (r *sourceResolver) push(changed bool) {
	if changed || r.rejected {
		r.rejected = r.cc.UpdateState(r.view.state()) != nil
	}
}

// failed reports err. A set that is known stays in use, marked as stale.
func (r *sourceResolver) failed(err error) {
	r.failures++
	if r.view.loaded && r.view.setStale(err) {
		r.push(true)
	}
	r.cc.ReportError(err)
}
