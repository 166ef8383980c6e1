package discovery

import (
	"errors"
	"fmt"
	"sync"
)

var (
	// ErrRegistryClosed is returned by a [Registry] after its Close.
	ErrRegistryClosed = errors.New("discovery: the registry is closed; make another one")
	// ErrLeaseNotFound is returned for a lease that ended, was revoked, or never was.
	ErrLeaseNotFound = errors.New("discovery: there is no such lease, or it has ended; grant another one and put again")
)

// Registry is a service registry within the process, with the semantics of etcd: each change has a revision of its own,
// which is greater than all before; a watch is a snapshot and then every change after it, in order; keys may hang on
// leases. It serves programs that know their endpoints by themselves, demonstrations, and tests.
//
//	registry := discovery.NewRegistry()
//	defer registry.Close()
//	registry.Put("inventory", "a", discovery.Endpoint{Addresses: []string{"10.0.0.1:443"}})
//	client, err := inventoryv1.NewInventoryServiceResilientClient(
//		goresilient.WithTarget("memory:///inventory"),
//		goresilient.WithResolvers(discovery.NewMemoryBuilder(registry)), …)
//
// It may be used by any number of goroutines. Nothing of it blocks, and what waits for it costs no goroutine.
type Registry struct {
	history int           // changes kept per service
	done    chan struct{} // closed by Close

	mu        sync.Mutex // guards all below, and all buckets, items and leases
	closed    bool
	revision  int64
	sequence  int64 // of the last item made
	compacted int64
	// floor is the greatest revision of a bucket that was dropped since it was empty and nobody watched it.
	floor     int64
	buckets   map[bucketName]*bucket
	leases    map[LeaseID]*lease
	lastLease LeaseID
}

// RegistryOption changes what [NewRegistry] returns.
type RegistryOption interface{ applyRegistry(*Registry) }

type registryOption func(*Registry)

func (o registryOption) applyRegistry(r *Registry) { o(r) }

const defaultHistory = 1000

// WithHistory sets how many changes are kept for each service. A watcher that is further behind gets a snapshot.
// Default: 1000; what is less than 1 counts as 1.
func WithHistory(changes int) RegistryOption {
	return registryOption(func(r *Registry) { r.history = max(changes, 1) })
}

// NewRegistry returns an empty registry at revision 0. Its Close ends the timers of leases that are still there.
func NewRegistry(opts ...RegistryOption) *Registry {
	r := &Registry{
		history: defaultHistory,
		done:    make(chan struct{}),
		buckets: make(map[bucketName]*bucket),
		leases:  make(map[LeaseID]*lease),
	}
	for _, o := range opts {
		o.applyRegistry(r)
	}
	return r
}

// Put writes an endpoint of service under key, and returns the revision of the change. What was under key before is
// replaced, its lease too. The endpoint is copied, its addresses are brought to their canonical form.
//
// Errors: a [*ConfigError] for names or endpoints that cannot be, [ErrLeaseNotFound], [ErrRegistryClosed].
func (r *Registry) Put(service, key string, e Endpoint, opts ...PutOption) (revision int64, err error) {
	revision, _, err = r.Txn(nil, PutOp(service, key, e, opts...))
	return revision, err
}

// Delete removes key from service. It reports whether it was there; if not, there is no change and the revision is that
// of the registry.
func (r *Registry) Delete(service, key string) (revision int64, deleted bool, err error) {
	op := DeleteOp(service, key)
	if problems := op.check(); len(problems) > 0 {
		return 0, false, &ConfigError{Problems: problems}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.revision, false, ErrRegistryClosed
	}
	before := r.revision
	r.commit([]Op{op})
	return r.revision, r.revision > before, nil
}

// Txn carries out all ops at one revision if every comparison holds, and nothing otherwise. Watchers see all of it or
// nothing. No two ops may be of the same key.
//
// To register unless somebody else has:
//
//	_, won, err := registry.Txn([]discovery.Compare{{Service: "leader", Key: "one", Version: 0}},
//		discovery.PutOp("leader", "one", me, discovery.WithLease(lease)))
func (r *Registry) Txn(compares []Compare, ops ...Op) (revision int64, applied bool, err error) {
	if err := checkOps(ops); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.revision, false, ErrRegistryClosed
	}
	for _, c := range compares {
		if r.version(bucketName{name: c.Service}, c.Key) != c.Version {
			return r.revision, false, nil
		}
	}
	for _, op := range ops {
		if op.lease != 0 && r.leases[op.lease] == nil {
			return r.revision, false, fmt.Errorf("lease %d: %w", op.lease, ErrLeaseNotFound)
		}
	}
	r.commit(ops)
	return r.revision, true, nil
}

// Version returns how often key of service was put since it came to be, 0 if it is not there.
func (r *Registry) Version(service, key string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version(bucketName{name: service}, key)
}

func (r *Registry) version(name bucketName, key string) int64 {
	if b := r.buckets[name]; b != nil && b.items[key] != nil {
		return b.items[key].version
	}
	return 0
}

// Revision returns the revision of the last change, 0 before the first.
func (r *Registry) Revision() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

// Compact forgets the changes up to revision, and not what they led to. A watcher that has not read them gets a
// snapshot. A revision in the future counts as the last one.
func (r *Registry) Compact(revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compacted = max(r.compacted, min(revision, r.revision))
	for _, b := range r.buckets {
		b.compact(r.compacted)
	}
}

// Close ends all watches with [ErrClosed] and the timers of all leases. It may be called more than once.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	close(r.done)
	for _, l := range r.leases {
		l.timer.Stop()
	}
	for _, b := range r.buckets {
		b.wake()
	}
}

// commit carries out ops, whose leases exist, at the next revision, unless they change nothing.
func (r *Registry) commit(ops []Op) {
	revision := r.revision + 1
	events := make(map[*bucket]*Event, 1)
	var order []*bucket
	for _, op := range ops {
		b := r.buckets[op.name]
		if op.delete && (b == nil || b.items[op.key] == nil) {
			continue
		}
		if b == nil {
			b = r.newBucket(op.name)
		}
		ev := events[b]
		if ev == nil {
			ev = &Event{Revision: revision}
			events[b] = ev
			order = append(order, b)
		}
		if op.delete {
			r.drop(b, op.key)
			ev.Delete = append(ev.Delete, b.entryKey(op.key))
			continue
		}
		it := r.put(b, op, revision)
		ev.Put = append(ev.Put, Entry{Key: b.entryKey(op.key), Endpoint: it.endpoint})
	}
	if len(order) == 0 {
		return
	}
	r.revision = revision
	for _, b := range order {
		b.append(*events[b], r.history)
		r.release(b)
	}
}

func (r *Registry) put(b *bucket, op Op, revision int64) *item {
	it := b.items[op.key]
	if it == nil {
		r.sequence++
		it = &item{sequence: r.sequence}
		b.items[op.key] = it
	}
	r.detach(it, b, op.key)
	it.endpoint, it.data, it.modified = op.endpoint, op.data, revision
	it.version++
	if l := r.leases[op.lease]; l != nil {
		it.lease = l
		l.keys[leased{b.name, op.key}] = struct{}{}
	}
	return it
}

func (r *Registry) drop(b *bucket, key string) {
	r.detach(b.items[key], b, key)
	delete(b.items, key)
}

// detach takes an item off its lease, if it has one.
func (r *Registry) detach(it *item, b *bucket, key string) {
	if it.lease != nil {
		delete(it.lease.keys, leased{b.name, key})
		it.lease = nil
	}
}

func (r *Registry) newBucket(name bucketName) *bucket {
	b := &bucket{name: name, items: make(map[string]*item), revision: r.floor, forgotten: max(r.floor, r.compacted)}
	r.buckets[name] = b
	return b
}

// release drops a bucket that holds nothing and that nobody watches: services that come and go must not add up.
func (r *Registry) release(b *bucket) {
	if len(b.items) == 0 && b.watchers == 0 {
		r.floor = max(r.floor, b.revision)
		delete(r.buckets, b.name)
	}
}
