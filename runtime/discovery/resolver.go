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
		heard, changed, err := r.receive(ctx, watcher)
		if ctx.Err() != nil {
			return
		}
		if heard {
			r.failures = 0
			r.push(changed)
		}
		if err == nil {
			continue
		}
		r.failed(err)
		if errors.Is(err, ErrClosed) {
			// Somebody else closed it, a registry at its end perhaps. What is known stays in use.
			return
		}
		if !r.pacing.pause(ctx, r.failures) {
			return
		}
	}
}

// maxDrained bounds the events of one state, so that a source that never stops does not keep the channel waiting.
const maxDrained = 4096

// receive waits for an event and takes over those that are ready behind it. It reports whether there was one at all, and
// whether a state has to be pushed; both may hold beside an error, which came last.
func (r *sourceResolver) receive(ctx context.Context, w Watcher) (heard, changed bool, err error) {
	buffered, _ := w.(Buffered)
	for range maxDrained {
		ev, err := w.Next(ctx)
		if err == nil && !ev.Reset && !r.view.loaded {
			err = errNoSnapshot
		}
		if err != nil {
			return heard, changed, err
		}
		heard = true
		changed = r.view.apply(ev) || changed
		if buffered == nil || !buffered.Pending() {
			break
		}
	}
	return heard, changed, nil
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
