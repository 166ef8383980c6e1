package etcd_test

import (
	"context"
	"sync"
	"testing"
)

// progress is what writers and the watcher have done so far. Tests wait for it to get somewhere.
type progress struct {
	mu      sync.Mutex // guards all below
	changed chan struct{}
	counts  counts
}

type counts struct {
	acknowledged int   // writes
	timedOut     int   // writes that came to the end of their CallTimeout
	broken       int   // writes whose connection broke
	watches      int   // streams that etcd has confirmed
	seen         int64 // last revision that the watcher has seen
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

// note changes the counts.
func (p *progress) note(change func(*counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counts)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *progress) now() (counts, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts, p.changed
}

// await waits until reached holds of the counts, and returns them. It fails the test when ctx ends before.
func (p *progress) await(t *testing.T, ctx context.Context, what string, reached func(counts) bool) counts {
	t.Helper()
	for {
		c, changed := p.now()
		if reached(c) {
			return c
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v; so far there is %+v", what, context.Cause(ctx), c)
		}
	}
}
