package discoverytest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// write has writers change endpoints of their own, all at the same time, and calls after for each change. It returns what
// is there in the end, and waits for them.
func write(b Backend, writers, versions int, after func()) (want map[string]uint32, wait func()) {
	want = make(map[string]uint32)
	var wg sync.WaitGroup
	for i := range writers {
		if i%2 == 0 {
			want[endpoint(i, 1).ID()] = uint32(versions)
		}
		wg.Go(func() {
			for version := 1; version <= versions; version++ {
				b.Put(key(i), endpoint(i, version))
				after()
				if version%5 == 0 && version < versions {
					b.Delete(key(i))
				}
			}
			if i%2 == 1 {
				b.Delete(key(i))
			}
		})
	}
	return want, wg.Wait
}

// testConcurrentWriters has fast and slow readers follow several writers.
func testConcurrentWriters(t *testing.T, b Backend) {
	want, wait := write(b, 4, 60, func() {})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := newReader(t, b.Source)
			defer r.watcher.Close()
			for !r.started || !maps.Equal(r.versions(), want) {
				if !r.next() {
					return
				}
				time.Sleep(time.Duration(i) * time.Millisecond) // the last ones fall behind
			}
		})
	}
	wait()
	wg.Wait()
}

// testCompactedWhileChanging forgets history under readers at any place.
func testCompactedWhileChanging(t *testing.T, b Backend) {
	want, wait := write(b, 3, 200, b.Compact)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := newReader(t, b.Source)
			defer r.watcher.Close()
			r.untilEqual(want)
		})
	}
	wait()
	wg.Wait()
}

// testBackendLost checks that what is known stays, that it is told to be stale, and that all is well afterwards.
func testBackendLost(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	b.Put(key(1), endpoint(1, 1))
	r.untilEqual(map[string]uint32{endpoint(1, 1).ID(): 1})
	for range 2 {
		b.Lose()
		if !r.untilStale() {
			return
		}
		if len(r.entries) != 1 {
			t.Errorf("without its backend the source says %v, want what it knew", r.versions())
		}
		b.Restore()
		r.untilFresh()
	}
	b.Put(key(2), endpoint(2, 1))
	r.untilEqual(map[string]uint32{endpoint(1, 1).ID(): 1, endpoint(2, 1).ID(): 1})
}

// untilStale reads until the source says that it has lost its backend, by an error or by an event.
func (r *reader) untilStale() bool {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		ev, err := r.watcher.Next(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, discovery.ErrClosed):
			r.t.Errorf("the source did not say that it lost its backend: %v", err)
			return false
		case err != nil:
			return true
		}
		if r.take(ev); ev.Stale != nil {
			return true
		}
	}
}

// untilFresh reads until an event says that all is well.
func (r *reader) untilFresh() {
	r.t.Helper()
	for r.next() {
		if !r.stale {
			return
		}
	}
}

// testPending checks that what Pending promises is there.
func testPending(t *testing.T, b Backend) {
	w := b.Source.Watch()
	defer w.Close()
	buffered, ok := w.(discovery.Buffered)
	if !ok {
		return
	}
	r := &reader{
		t: t, watcher: w, entries: make(map[string]discovery.Endpoint), newest: make(map[string]uint32),
	}
	r.next()
	const versions = 50
	for version := 1; version <= versions; version++ {
		b.Put(key(1), endpoint(1, version))
	}
	r.next()
	for buffered.Pending() {
		r.next()
	}
	if got := r.versions()[endpoint(1, 1).ID()]; got == 0 {
		t.Error("nothing is pending although the put was not returned")
	}
	r.until(func(s map[string]uint32) bool { return s[endpoint(1, 1).ID()] == versions })
}
