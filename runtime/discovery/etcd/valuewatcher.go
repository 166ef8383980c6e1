package etcd

import (
	"bytes"
	"context"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// ValueWatcher follows one value, with the guarantees of a watch of endpoints. Next is for one goroutine at a time, Close
// for any.
type ValueWatcher struct {
	feed *feed

	// Of the goroutine that calls Next.
	value   discovery.Value
	known   bool // there was a snapshot
	changed bool // value is still to be told
	stale   error
	told    bool // that it is stale
}

// Next returns the value as it is now, and then whenever it changed. Of several changes the last counts. The revision is
// that of the value's last change, or of the registry where the key is not there; it grows with every change.
//
// An error is the state of etcd and not the end of the watch: the value returned before stays the last good one, and the
// caller calls Next again. When etcd is well again Next returns the value, changed or not. When ctx ends Next returns its
// error, after Close [discovery.ErrClosed].
func (w *ValueWatcher) Next(ctx context.Context) (discovery.Value, error) {
	for {
		switch {
		case w.changed:
			w.changed = false
			return w.value, nil
		case w.stale != nil && !w.told:
			w.told = true
			return discovery.Value{}, w.stale
		case w.stale == nil && w.told:
			w.told = false
			return w.value, nil
		}
		c, err := w.feed.next(ctx)
		switch {
		case err != nil:
			return discovery.Value{}, err
		case c.failure != nil:
			return discovery.Value{}, c.failure
		}
		w.take(c)
	}
}

// Close ends the watch, makes a waiting Next return and waits for the watcher's goroutine. It may be called more than once.
func (w *ValueWatcher) Close() { w.feed.close() }

func (w *ValueWatcher) take(c change) {
	w.stale = c.stale
	if c.isStatus() {
		return
	}
	value := discovery.Value{Revision: c.revision}
	if len(c.put) > 0 { // there is but one key
		kv := c.put[0]
		value = discovery.Value{Data: kv.Value, Revision: c.offset + kv.ModRevision, Exists: true}
	}
	same := w.known && value.Exists == w.value.Exists && bytes.Equal(value.Data, w.value.Data)
	if same {
		w.value.Revision = max(w.value.Revision, value.Revision)
		return
	}
	if w.known && value.Revision <= w.value.Revision {
		value.Revision = c.revision // of another history, whose revisions are lower
	}
	w.value, w.known, w.changed = value, true, true
}
