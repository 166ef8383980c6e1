package discoverytest

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// reporter is the part of testing.T that a reader needs.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// reader applies what a watcher says and checks each event against the contract.
type reader struct {
	t        reporter
	watcher  discovery.Watcher
	started  bool
	revision int64
	entries  map[string]discovery.Endpoint // by the source's key
	newest   map[string]uint32             // version of each endpoint ever seen
	stale    bool                          // the last event said so
}

func newReader(t reporter, src discovery.Source) *reader {
	return &reader{
		t: t, watcher: src.Watch(),
		entries: make(map[string]discovery.Endpoint), newest: make(map[string]uint32),
	}
}

// next takes one event. An error of the backend is not one of the contract: it is asked again.
func (r *reader) next() bool {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		ev, err := r.watcher.Next(ctx)
		switch {
		case err == nil:
			r.take(ev)
			return true
		case ctx.Err() != nil, errors.Is(err, discovery.ErrClosed):
			r.t.Errorf("no event came: %v; the set is %v", err, r.versions())
			return false
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *reader) take(ev discovery.Event) {
	r.t.Helper()
	if !r.started && !ev.Reset {
		r.t.Errorf("the first event is no Reset: %+v", ev)
	}
	changes := len(ev.Put)+len(ev.Delete) > 0
	if r.started && (ev.Revision < r.revision || ev.Revision == r.revision && changes && !ev.Reset) {
		r.t.Errorf("revision %d came after %d, with changes: %v", ev.Revision, r.revision, changes)
	}
	if ev.Reset && len(ev.Delete) > 0 {
		r.t.Errorf("a Reset deletes %v", ev.Delete)
	}
	r.started, r.revision, r.stale = true, ev.Revision, ev.Stale != nil
	if ev.Reset {
		clear(r.entries)
	}
	for _, k := range ev.Delete {
		if _, ok := r.entries[k]; !ok {
			r.t.Errorf("revision %d deletes %q, which is not there: seen twice, or its put was missed", ev.Revision, k)
		}
		delete(r.entries, k)
	}
	inEvent := make(map[string]bool)
	for _, e := range ev.Put {
		if old, ok := r.entries[e.Key]; ok && old.Equal(e.Endpoint) && !ev.Reset {
			r.t.Errorf("revision %d puts %q as it is: seen twice", ev.Revision, e.Key)
		}
		if inEvent[e.Key] {
			r.t.Errorf("revision %d puts %q twice", ev.Revision, e.Key)
		}
		inEvent[e.Key] = true
		if id := e.Endpoint.ID(); e.Endpoint.Weight < r.newest[id] {
			r.t.Errorf("revision %d brings version %d of %s, after %d", ev.Revision, e.Endpoint.Weight, id, r.newest[id])
		} else {
			r.newest[id] = e.Endpoint.Weight
		}
		r.entries[e.Key] = e.Endpoint
	}
}

// versions is the set as version by endpoint.
func (r *reader) versions() map[string]uint32 {
	out := make(map[string]uint32, len(r.entries))
	for _, e := range r.entries {
		out[e.ID()] = e.Weight
	}
	return out
}

// until reads until the set is as done wants it.
func (r *reader) until(done func(versions map[string]uint32) bool) {
	r.t.Helper()
	for !r.started || !done(r.versions()) {
		if !r.next() {
			return
		}
	}
}

func (r *reader) untilEqual(want map[string]uint32) {
	r.t.Helper()
	r.until(func(s map[string]uint32) bool { return maps.Equal(s, want) })
}
