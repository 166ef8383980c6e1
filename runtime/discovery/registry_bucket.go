package discovery

import (
	"cmp"
	"slices"
	"sort"
)

// bucketName is a service, or a key that holds a value: a bucket with the one item "".
type bucketName struct {
	value bool
	name  string
}

// bucket is one service: what it holds, and its last changes. Watchers read the changes from here, each at its own
// pace, so that one that is slow or idle holds nothing. The registry's lock guards it.
type bucket struct {
	name      bucketName
	items     map[string]*item
	revision  int64   // of the last change
	log       []Event // the last changes, in order
	forgotten int64   // changes up to this revision are not in log
	watchers  int
	changed   chan struct{} // closed by the next change; nil while nobody waits
}

// item is what is under one key.
type item struct {
	endpoint Endpoint
	data     []byte
	sequence int64 // in which items were made
	modified int64 // revision of the last put
	version  int64 // puts since it was made
	lease    *lease
}

func (b *bucket) entryKey(key string) string { return b.name.name + "/" + key }

// append takes over a change and wakes those who wait for one.
func (b *bucket) append(ev Event, history int) {
	b.revision = ev.Revision
	b.log = append(b.log, ev)
	// A quarter goes at once, so that a change costs no copy of the whole.
	if len(b.log) > history+history/4 {
		b.forget(len(b.log) - history)
	}
	b.wake()
}

func (b *bucket) wake() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// waiter returns what the next change closes.
func (b *bucket) waiter() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// compact forgets the changes up to revision.
func (b *bucket) compact(revision int64) {
	b.forget(b.after(revision))
	b.forgotten = max(b.forgotten, revision)
}

// forget drops the first n changes.
func (b *bucket) forget(n int) {
	if n > 0 {
		b.forgotten = max(b.forgotten, b.log[n-1].Revision)
		b.log = slices.Clone(b.log[n:])
	}
}

// after is the index of the first change that is later than revision.
func (b *bucket) after(revision int64) int {
	return sort.Search(len(b.log), func(i int) bool { return b.log[i].Revision > revision })
}

// snapshot is all items, in the order in which they were made: that in which a watcher that followed from the start has
// them.
func (b *bucket) snapshot() []Entry {
	type keyed struct {
		key string
		*item
	}
	all := make([]keyed, 0, len(b.items))
	for key, it := range b.items {
		all = append(all, keyed{key, it})
	}
	slices.SortFunc(all, func(a, b keyed) int { return cmp.Compare(a.sequence, b.sequence) })
	put := make([]Entry, len(all))
	for i, k := range all {
		put[i] = Entry{Key: b.entryKey(k.key), Endpoint: k.endpoint}
	}
	return put
}
