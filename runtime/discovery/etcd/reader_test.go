package etcd

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
)

func endpointAt(address string, weight uint32) discovery.Endpoint {
	return discovery.Endpoint{Addresses: []string{address}, Weight: weight}
}

// reader applies what a watcher says.
type reader struct {
	t        *testing.T
	watcher  discovery.Watcher
	started  bool
	revision int64
	entries  map[string]discovery.Endpoint
	stale    error
	failure  error // the last one
	resets   int
}

func read(t *testing.T, src discovery.Source) *reader {
	r := &reader{t: t, watcher: src.Watch(), entries: make(map[string]discovery.Endpoint)}
	t.Cleanup(r.watcher.Close)
	return r
}

// until reads until done is true.
func (r *reader) until(what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !done() {
		ev, err := r.watcher.Next(ctx)
		switch {
		case ctx.Err() != nil:
			r.t.Fatalf("%s did not come: the set is %v, stale: %v, failure: %v", what, r.entries, r.stale, r.failure)
		case err != nil:
			r.failure = err
			time.Sleep(time.Millisecond)
		default:
			r.take(ev)
		}
	}
}

func (r *reader) take(ev discovery.Event) {
	r.t.Helper()
	changes := len(ev.Put)+len(ev.Delete) > 0
	switch {
	case !r.started && !ev.Reset:
		r.t.Errorf("the first event is no Reset: %+v", ev)
	case ev.Revision < r.revision, changes && !ev.Reset && ev.Revision == r.revision:
		r.t.Errorf("revision %d came after %d", ev.Revision, r.revision)
	}
	r.started, r.revision, r.stale, r.failure = true, ev.Revision, ev.Stale, nil
	if ev.Reset {
		r.resets++
		clear(r.entries)
	}
	for _, key := range ev.Delete {
		if _, ok := r.entries[key]; !ok {
			r.t.Errorf("revision %d deletes %q, which is not there", ev.Revision, key)
		}
		delete(r.entries, key)
	}
	for _, e := range ev.Put {
		r.entries[e.Key] = e.Endpoint
	}
}

// untilSet waits for a set of the given weights by address, fresh.
func (r *reader) untilSet(want map[string]uint32) {
	r.t.Helper()
	r.until("the set", func() bool { return r.started && r.stale == nil && maps.Equal(r.weights(), want) })
}

func (r *reader) untilStale() {
	r.t.Helper()
	r.until("a stale set", func() bool { return r.stale != nil })
}

func (r *reader) untilFailure() {
	r.t.Helper()
	r.until("a failure", func() bool { return r.failure != nil })
	if errors.Is(r.failure, discovery.ErrClosed) {
		r.t.Fatal(r.failure)
	}
}

func (r *reader) weights() map[string]uint32 {
	weights := make(map[string]uint32, len(r.entries))
	for _, e := range r.entries {
		weights[e.ID()] = e.Weight
	}
	return weights
}
