package limit

import (
	"container/list"
	"context"
	"time"
)

// queue holds *waiter, the longest waiting first.
type queue struct{ list.List }

type waiter struct {
	granted bool          // guarded by Limiter.mu
	ready   chan struct{} // closed when granted
}

// wait queues the call until it has a permit or may wait no longer.
func (l *Limiter) wait(ctx context.Context, cfg *Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{ready: make(chan struct{})}
	place, err := l.enqueue(ctx, cfg, w)
	if place == nil {
		if err != nil {
			l.refused.Add(1)
		}
		return err
	}
	var late <-chan time.Time
	if cfg.MaxQueueTime > 0 {
		timer := time.NewTimer(cfg.MaxQueueTime)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		if l.leave(place) {
			l.giveBack()
		}
		return ctx.Err()
	case <-late:
		if l.leave(place) {
			return nil
		}
		l.refused.Add(1)
		return ErrQueueTimeout
	}
}

// enqueue gives the call a place in the queue; no place and no error means that it has a permit already.
func (l *Limiter) enqueue(ctx context.Context, cfg *Config, w *waiter) (*list.Element, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		word := l.word.Load()
		if taken(word) < l.limit.Load() {
			if l.word.CompareAndSwap(word, word+onePermit) {
				return nil, nil
			}
			continue
		}
		waiting := word / oneWaiting
		if waiting >= uint64(cfg.MaxQueued) {
			return nil, ErrFull
		}
		if l.hopeless(ctx, waiting+1) {
			return nil, ErrHopeless
		}
		// A permit that was given back in the meantime fails this, and one that is given back later finds the waiter.
		if l.word.CompareAndSwap(word, word+oneWaiting) {
			return l.queue.PushBack(w), nil
		}
	}
}

// hopeless tells whether ctx ends before the call at a place, counted from 1, would have its turn: a permit becomes
// free limit times in the time that one is held (Little's law).
func (l *Limiter) hopeless(ctx context.Context, place uint64) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	turn := float64(l.held.Load()) * float64(place) / float64(l.limit.Load())
	return turn > 0 && float64(time.Until(deadline)) < turn
}

// leave takes a call out of the queue. It tells whether the call has been handed a permit instead.
func (l *Limiter) leave(place *list.Element) (granted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if place.Value.(*waiter).granted {
		return true
	}
	l.queue.Remove(place)
	l.dropWaiting()
	return false
}

// handOver gives the permit of a caller that is done to the first in the queue, or frees it where the limit has shrunk.
// false: nobody waits any more.
func (l *Limiter) handOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	word := l.word.Load()
	if word < oneWaiting {
		return false
	}
	if held(word) > l.limit.Load() {
		l.word.Add(^uint64(onePermit - 1))
		return true
	}
	l.grantFirst()
	return true
}

// setLimit puts the limit of cfg in force, and hands out the permits that it makes free. The caller holds mu.
func (l *Limiter) setLimit(cfg *Config) {
	limit := cfg.Max
	if cfg.Adaptive {
		limit = l.gradient.clamp(cfg)
	}
	if cfg.Observe {
		limit += cfg.MaxQueued
	}
	l.limit.Store(uint64(limit))
	for {
		word := l.word.Load()
		if word < oneWaiting || held(word) >= uint64(limit) {
			return
		}
		l.word.Add(onePermit)
		l.grantFirst()
	}
}

// grantFirst lets the first in the queue go on with a permit that is counted already. The caller holds mu.
func (l *Limiter) grantFirst() {
	w := l.queue.Remove(l.queue.Front()).(*waiter)
	l.dropWaiting()
	w.granted = true
	close(w.ready)
}

// dropWaiting counts a waiting call less. The caller holds mu.
func (l *Limiter) dropWaiting() { l.word.Add(^uint64(oneWaiting - 1)) }
