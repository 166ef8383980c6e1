package discoverytest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/goresilient/goresilient/runtime/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	Run(t, Harness{New: func(*testing.T) Backend {
		l := newLog()
		return Backend{Source: l, Put: l.put, Delete: l.delete, Compact: l.compact}
	}})
}

func TestRunWithoutHooks(t *testing.T) {
	Run(t, Harness{New: func(*testing.T) Backend { return Backend{Source: newLog()} }})
}

// log is the smallest source that keeps the contract: a list of changes, of which the oldest are forgotten.
type log struct {
	mu       sync.Mutex
	revision int64
	state    map[string]discovery.Endpoint
	events   []discovery.Event // the last one has the current revision
	changed  chan struct{}     // closed by the next change
}

func newLog() *log {
	return &log{state: make(map[string]discovery.Endpoint), changed: make(chan struct{})}
}

func (l *log) append(ev discovery.Event) {
	l.revision++
	ev.Revision = l.revision
	l.events = append(l.events, ev)
	if len(l.events) > 50 {
		l.events = slices.Clone(l.events[10:])
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *log) put(key string, e discovery.Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state[key] = e
	l.append(discovery.Event{Put: []discovery.Entry{{Key: key, Endpoint: e}}})
}

func (l *log) delete(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.state, key)
	l.append(discovery.Event{Delete: []string{key}})
}

func (l *log) compact() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = nil
}

// after returns the first event after a revision, or what to wait for. A negative revision asks for a snapshot.
func (l *log) after(revision int64) (discovery.Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch behind := l.revision - revision; {
	case revision >= 0 && behind == 0:
		return discovery.Event{}, l.changed
	case revision < 0 || int(behind) > len(l.events):
		ev := discovery.Event{Revision: l.revision, Reset: true}
		for _, k := range slices.Sorted(maps.Keys(l.state)) {
			ev.Put = append(ev.Put, discovery.Entry{Key: k, Endpoint: l.state[k]})
		}
		return ev, nil
	default:
		return l.events[len(l.events)-int(behind)], nil
	}
}

func (l *log) Watch() discovery.Watcher {
	return &logWatcher{log: l, revision: -1, closed: make(chan struct{})}
}

type logWatcher struct {
	log      *log
	revision int64
	once     sync.Once
	closed   chan struct{}
}

func (w *logWatcher) Next(ctx context.Context) (discovery.Event, error) {
	for {
		select {
		case <-w.closed:
			return discovery.Event{}, discovery.ErrClosed
		default:
		}
		ev, wait := w.log.after(w.revision)
		if wait == nil {
			w.revision = ev.Revision
			return ev, nil
		}
		select {
		case <-w.closed:
		case <-ctx.Done():
			return discovery.Event{}, ctx.Err()
		case <-wait:
		}
	}
}

func (w *logWatcher) Refresh() {}
func (w *logWatcher) Close()   { w.once.Do(func() { close(w.closed) }) }
