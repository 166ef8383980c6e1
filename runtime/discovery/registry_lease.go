package discovery

import (
	"fmt"
	"time"
)

// LeaseID names a lease; 0 is none.
type LeaseID int64

// lease is what keys live by. The registry's lock guards it.
type lease struct {
	ttl   time.Duration
	ends  time.Time
	timer *time.Timer
	keys  map[leased]struct{}
}

// leased is a key of the whole registry.
type leased struct {
	name bucketName
	key  string
}

// Grant returns a lease that ends ttl after its last [Registry.KeepAlive]. All keys that hang on it are then removed, at
// one revision. ttl is greater than 0.
func (r *Registry) Grant(ttl time.Duration) (LeaseID, error) {
	if ttl <= 0 {
		return 0, &ConfigError{Problems: []Problem{{Value: ttl.String(),
			Text: "is no time to live; give a duration above 0, such as 10s"}}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, ErrRegistryClosed
	}
	r.lastLease++
	id := r.lastLease
	l := &lease{ttl: ttl, ends: time.Now().Add(ttl), keys: make(map[leased]struct{})}
	l.timer = time.AfterFunc(ttl, func() { r.expire(id) })
	r.leases[id] = l
	return id, nil
}

// KeepAlive lets the lease begin anew. Errors: [ErrLeaseNotFound], [ErrRegistryClosed].
func (r *Registry) KeepAlive(id LeaseID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, err := r.lease(id)
	if err != nil {
		return err
	}
	l.ends = time.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return nil
}

// Revoke ends the lease now. Errors: [ErrLeaseNotFound], [ErrRegistryClosed].
func (r *Registry) Revoke(id LeaseID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, err := r.lease(id)
	if err != nil {
		return err
	}
	r.end(id, l)
	return nil
}

func (r *Registry) lease(id LeaseID) (*lease, error) {
	if r.closed {
		return nil, ErrRegistryClosed
	}
	if l := r.leases[id]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("lease %d: %w", id, ErrLeaseNotFound)
}

// expire is called by the timer, which a KeepAlive may have come before.
func (r *Registry) expire(id LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, err := r.lease(id)
	if err != nil {
		return
	}
	if left := time.Until(l.ends); left > 0 {
		l.timer.Reset(left)
		return
	}
	r.end(id, l)
}

func (r *Registry) end(id LeaseID, l *lease) {
	l.timer.Stop()
	delete(r.leases, id)
	ops := make([]Op, 0, len(l.keys))
	for at := range l.keys {
		ops = append(ops, Op{name: at.name, key: at.key, delete: true})
	}
	r.commit(ops)
}
