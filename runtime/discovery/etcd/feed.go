package etcd

import "context"

// feed follows a range of keys for one reader, through all that befalls etcd. Its goroutine runs from startFeed to close
// and owns all below done.
type feed struct {
	backend  *backend
	key, end string // as in a range request: end is "" for key alone
	out      *outbox
	cancel   context.CancelFunc
	closed   <-chan struct{} // close was called
	done     chan struct{}

	history    history
	loaded     bool  // the reader was given a snapshot
	continuous bool  // history is etcd's, and may be gone on from
	replaced   bool  // history is not etcd's any more
	stale      error // as last told
	complaint  string
	failures   int // in a row
}

func startFeed(b *backend, key, end string) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{
		backend: b, key: key, end: end, out: newOutbox(),
		cancel: cancel, closed: ctx.Done(), done: make(chan struct{}),
	}
	go f.run(ctx)
	return f
}

// close ends the feed. It may be called more than once.
func (f *feed) close() {
	f.cancel()
	<-f.done
}

// next returns the next change, for one goroutine at a time.
func (f *feed) next(ctx context.Context) (change, error) { return f.out.take(ctx, f.closed) }

func (f *feed) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

func (f *feed) run(ctx context.Context) {
	defer close(f.done)
	for ctx.Err() == nil {
		err := f.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		f.failed(err)
		if !f.backend.pause(ctx, backoff(f.failures, f.backend.random())) {
			return
		}
	}
}

// attempt follows the keys until something fails.
func (f *feed) attempt(ctx context.Context) error {
	if !f.continuous {
		if err := f.snapshot(ctx); err != nil {
			return err
		}
	}
	return f.follow(ctx)
}

// discontinuity is why a feed cannot go on where it stood and has to begin anew.
type discontinuity struct {
	reason   string
	replaced bool // by another history
}

// Error returns the reason.
func (d *discontinuity) Error() string { return d.reason }

// failed decides what the reader hears of err. The first failure after success is between the feed and etcd: a member
// restarts, a token expires, and the next try succeeds.
func (f *feed) failed(err error) {
	f.failures++
	d, broken := err.(*discontinuity)
	switch {
	case broken: // a snapshot comes next
		f.continuous, f.replaced = false, f.replaced || d.replaced
	case !f.loaded:
		// Each complaint makes the reader pause; the same again would but delay it.
		if text := err.Error(); text != f.complaint {
			f.complaint = text
			f.out.add(change{failure: err})
		}
	case f.failures > 1:
		f.setStale(err)
	}
}

// setStale tells the reader whether what it has is up to date. Another reason for the same is not told.
func (f *feed) setStale(err error) {
	if (f.stale == nil) != (err == nil) {
		f.stale = err
		f.deliver(change{})
	}
}

// reset gives the reader all keys.
func (f *feed) reset(stale error) {
	f.loaded, f.stale = true, stale
	f.deliver(change{reset: true, put: f.history.all()})
}

func (f *feed) deliver(c change) {
	c.revision, c.offset, c.stale = f.history.told, f.history.offset, f.stale
	if !f.out.add(c) {
		c.reset, c.put, c.del = true, f.history.all(), nil
		f.out.replace(c)
	}
}
