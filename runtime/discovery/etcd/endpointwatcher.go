package etcd

import (
	"context"
	"errors"
	"log/slog"

	"github.com/goresilient/goresilient/runtime/discovery"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// endpointWatcher turns changes of keys into changes of endpoints. All but feed is of the goroutine that calls Next.
type endpointWatcher struct {
	feed       *feed
	entries    map[string]discovery.Endpoint // as last told
	unreadable map[string]error
	stale      string  // as last told; "" if fresh
	ahead      *answer // of the next Next; nil if not known
}

type answer struct {
	event discovery.Event
	err   error
}

func newEndpointWatcher(f *feed) *endpointWatcher {
	return &endpointWatcher{feed: f, unreadable: make(map[string]error)}
}

// Next implements [discovery.Watcher].
func (w *endpointWatcher) Next(ctx context.Context) (discovery.Event, error) {
	for w.ahead == nil || w.feed.isClosed() {
		c, err := w.feed.next(ctx)
		if err != nil {
			return discovery.Event{}, err
		}
		w.ahead = w.answer(c)
	}
	a := *w.ahead
	w.ahead = nil
	return a.event, a.err
}

// Pending implements [discovery.Buffered]. It looks ahead, since a change of keys need not be one of endpoints.
func (w *endpointWatcher) Pending() bool {
	for w.ahead == nil {
		c, ok := w.feed.out.first()
		if !ok {
			return false
		}
		w.ahead = w.answer(c)
	}
	return true
}

// Refresh implements [discovery.Watcher]: etcd says by itself what changes.
func (w *endpointWatcher) Refresh() {}

// Close implements [discovery.Watcher].
func (w *endpointWatcher) Close() { w.feed.close() }

// answer returns nil where there is nothing to tell: a key was written with the value that it had.
func (w *endpointWatcher) answer(c change) *answer {
	if c.failure != nil {
		return &answer{err: c.failure}
	}
	ev := discovery.Event{Revision: c.revision, Reset: c.reset}
	if c.reset {
		ev.Put = w.all(c.put)
	} else {
		ev.Put, ev.Delete = w.put(c.put), w.delete(c.del)
	}
	stale := ""
	if ev.Stale = errors.Join(c.stale, newUnreadableError(w.unreadable)); ev.Stale != nil {
		stale = ev.Stale.Error()
	}
	if !c.reset && len(ev.Put)+len(ev.Delete) == 0 && stale == w.stale {
		return nil
	}
	w.stale = stale
	return &answer{event: ev}
}

func (w *endpointWatcher) all(kvs []*mvccpb.KeyValue) []discovery.Entry {
	old := w.entries
	w.entries = make(map[string]discovery.Endpoint, len(kvs))
	clear(w.unreadable)
	put := make([]discovery.Entry, 0, len(kvs))
	for _, kv := range kvs {
		key := string(kv.Key)
		e, ok := w.read(key, kv.Value)
		if !ok {
			if e, ok = old[key]; !ok {
				continue
			}
		}
		w.entries[key] = e
		put = append(put, discovery.Entry{Key: key, Endpoint: e})
	}
	return put
}

func (w *endpointWatcher) put(kvs []*mvccpb.KeyValue) (put []discovery.Entry) {
	for _, kv := range kvs {
		key := string(kv.Key)
		e, ok := w.read(key, kv.Value)
		if old, had := w.entries[key]; !ok || had && old.Equal(e) {
			continue
		}
		w.entries[key] = e
		put = append(put, discovery.Entry{Key: key, Endpoint: e})
	}
	return put
}

func (w *endpointWatcher) delete(keys []string) (del []string) {
	for _, key := range keys {
		delete(w.unreadable, key)
		if _, had := w.entries[key]; had {
			delete(w.entries, key)
			del = append(del, key)
		}
	}
	return del
}

// read notes whether the value of key can be read.
func (w *endpointWatcher) read(key string, value []byte) (discovery.Endpoint, bool) {
	e, err := decodeEndpoint(value)
	if err == nil {
		delete(w.unreadable, key)
		return e, true
	}
	w.unreadable[key] = err
	w.feed.backend.logger.Warn("etcd: the value of a key cannot be read as an endpoint",
		slog.String("key", key), slog.Any("error", err))
	return e, false
}
