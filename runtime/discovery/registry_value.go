package discovery

import (
	"context"
	"slices"
)

// Value is what a key holds besides endpoints, e.g., a policy document.
type Value struct {
	// Data is the content. It is not changed by anybody.
	Data []byte
	// Revision is the one of its last change, or of the registry at the time if the key is not there.
	Revision int64
	// Exists is false if the key is not there, or not any more.
	Exists bool
}

// PutValue writes data under key. Values have their keys for themselves: no service has to do with them. The data are
// copied.
func (r *Registry) PutValue(key string, data []byte, opts ...PutOption) (revision int64, err error) {
	op := Op{name: bucketName{value: true, name: key}, data: slices.Clone(data)}
	for _, o := range opts {
		o.applyPut(&op)
	}
	revision, _, err = r.Txn(nil, op)
	return revision, err
}

// DeleteValue removes what [Registry.PutValue] wrote. A key that is not there is no change.
func (r *Registry) DeleteValue(key string) (revision int64, err error) {
	revision, _, err = r.Txn(nil, Op{name: bucketName{value: true, name: key}, delete: true})
	return revision, err
}

// WatchValue follows key, which need not exist. The caller closes the watcher.
func (r *Registry) WatchValue(key string) *ValueWatcher {
	return &ValueWatcher{watcher: r.watch(bucketName{value: true, name: key})}
}

// ValueWatcher follows one value. Next is for one goroutine at a time, Close for any.
type ValueWatcher struct{ watcher *registryWatcher }

// Next returns the value at once the first time, and then whenever it changed. Of several changes the last counts: those
// before it are not returned. Errors: the context's, and [ErrClosed] after Close of the watcher or of the registry.
func (v *ValueWatcher) Next(ctx context.Context) (Value, error) {
	for {
		value, wait, err := v.take()
		if wait == nil {
			return value, err
		}
		if err := v.watcher.wait(ctx, wait); err != nil {
			return Value{}, err
		}
	}
}

func (v *ValueWatcher) take() (Value, <-chan struct{}, error) {
	w := v.watcher
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	b := w.attach()
	switch {
	case b == nil:
		return Value{}, nil, ErrClosed
	case w.started && w.position >= b.revision:
		return Value{}, b.waiter(), nil
	}
	w.started, w.position = true, r.revision
	if it := b.items[""]; it != nil {
		return Value{Data: it.data, Revision: it.modified, Exists: true}, nil, nil
	}
	return Value{Revision: r.revision}, nil, nil
}

// Close ends the watch and makes a waiting Next return.
func (v *ValueWatcher) Close() { v.watcher.Close() }
