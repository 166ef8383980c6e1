package discovery

import "context"

// Source returns the endpoints of service, which need not exist yet. The keys of its entries are those of
// [Registry.Put], after the name of the service and a slash.
func (r *Registry) Source(service string) Source { return registrySource{r, service} }

// WatchFrom goes on where a reader stood that has seen everything up to revision: unlike with a [Source], the first
// event is a change and no Reset, unless what follows revision is forgotten already.
func (r *Registry) WatchFrom(service string, revision int64) Watcher {
	w := r.watch(bucketName{name: service})
	w.position, w.started = revision, true
	return w
}

type registrySource struct {
	registry *Registry
	service  string
}

// Watch implements [Source].
func (s registrySource) Watch() Watcher { return s.registry.watch(bucketName{name: s.service}) }

func (r *Registry) watch(name bucketName) *registryWatcher {
	return &registryWatcher{registry: r, name: name, closed: make(chan struct{})}
}

// registryWatcher is a position in the changes of a service.
type registryWatcher struct {
	registry *Registry
	name     bucketName
	closed   chan struct{}

	// Guarded by the registry's lock.
	bucket *bucket // nil before the first Next
	ended  bool

	// Of the goroutine that calls Next.
	position int64 // all up to this revision was returned
	started  bool  // position holds
}

// Next implements [Watcher].
func (w *registryWatcher) Next(ctx context.Context) (Event, error) {
	for {
		ev, wait, err := w.take()
		if wait == nil {
			return ev, err
		}
		if err := w.wait(ctx, wait); err != nil {
			return Event{}, err
		}
	}
}

// wait returns nil once it is worth looking again.
func (w *registryWatcher) wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
	case <-w.closed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// take returns the next event, or what to wait for.
func (w *registryWatcher) take() (Event, <-chan struct{}, error) {
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	b := w.attach()
	if b == nil {
		return Event{}, nil, ErrClosed
	}
	if !w.started || w.position < b.forgotten && w.position < b.revision {
		w.started, w.position = true, r.revision
		return Event{Revision: r.revision, Reset: true, Put: b.snapshot()}, nil, nil
	}
	i := b.after(w.position)
	if i == len(b.log) {
		return Event{}, b.waiter(), nil
	}
	w.position = b.log[i].Revision
	return b.log[i], nil, nil
}

// attach returns the bucket, nil if the watch is over.
func (w *registryWatcher) attach() *bucket {
	r := w.registry
	if w.ended || r.closed {
		return nil
	}
	if w.bucket == nil {
		if w.bucket = r.buckets[w.name]; w.bucket == nil {
			w.bucket = r.newBucket(w.name)
		}
		w.bucket.watchers++
	}
	return w.bucket
}

// Pending implements [Buffered].
func (w *registryWatcher) Pending() bool {
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	b := w.attach()
	return b == nil || !w.started || w.position < b.revision
}

// Refresh implements [Watcher]: changes are seen by themselves.
func (w *registryWatcher) Refresh() {}

// Close implements [Watcher].
func (w *registryWatcher) Close() {
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.ended {
		return
	}
	w.ended = true
	close(w.closed)
	if w.bucket != nil {
		w.bucket.watchers--
		r.release(w.bucket)
	}
}
