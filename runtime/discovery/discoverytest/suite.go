// Package discoverytest checks that a [discovery.Source] keeps its contract: a snapshot, then ordered changes after it,
// with nothing missed and nothing seen twice, also when the watcher fell behind, and whenever it is closed.
//
//	func TestSource(t *testing.T) {
//		discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
//			reg := registry.New()
//			return discoverytest.Backend{
//				Source: reg.Source("inventory"),
//				Put:    func(key string, e discovery.Endpoint) { reg.Put("inventory", key, e) },
//				Delete: func(key string) { reg.Delete("inventory", key) },
//			}
//		}})
//	}
package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// Harness makes backends for the suite.
type Harness struct {
	// New makes a source over an empty set, for one subtest. What it starts, it stops in t.Cleanup.
	New func(t *testing.T) Backend
}

// Backend is a source and the hooks that change what it sees. A hook returns once the change is made; the source may see
// it later, but must see it by itself: the hook of a polled source refreshes it. What a nil hook would have been needed
// for is left out. Hooks may be called by several goroutines at once.
type Backend struct {
	Source discovery.Source
	// Put writes an endpoint under a key of letters and digits. The source's own key may be another.
	Put func(key string, e discovery.Endpoint)
	// Delete removes a key, which exists.
	Delete func(key string)
	// Compact forgets all history, so that a watcher that has not read it needs a snapshot.
	Compact func()
	// Lose takes the backend away, so that the source cannot know what is there; Restore brings it back as it was. Nothing is
	// put or deleted in between.
	Lose, Restore func()
}

// patience ends a test that waits for something that does not come. No test measures it.
const patience = 20 * time.Second

// Run checks the source that h makes. Goroutines left over are for the caller's own leak check.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name  string
		needs func(Backend) bool
		run   func(*testing.T, Backend)
	}{
		{"Snapshot", nil, testSnapshot},
		{"Changes", canPut, testChanges},
		{"ChangesWhileWatchersCome", canPut, testChangesWhileWatchersCome},
		{"FallenBehind", canPut, testFallenBehind},
		{"Compacted", func(b Backend) bool { return canPut(b) && b.Compact != nil }, testCompacted},
		{"ConcurrentWriters", canPut, testConcurrentWriters},
		{"CompactedWhileChanging", func(b Backend) bool { return canPut(b) && b.Compact != nil }, testCompactedWhileChanging},
		{"BackendLost", func(b Backend) bool { return canPut(b) && b.Lose != nil && b.Restore != nil }, testBackendLost},
		{"Pending", canPut, testPending},
		{"ContextEnds", nil, testContextEnds},
		{"Close", nil, testClose},
		{"CloseWhileNextWaits", nil, testCloseWhileNextWaits},
		{"CloseAtAnyMoment", canPut, testCloseAtAnyMoment},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := h.New(t)
			if tt.needs == nil || tt.needs(b) {
				tt.run(t, b)
			}
		})
	}
}

func canPut(b Backend) bool { return b.Put != nil && b.Delete != nil }

// endpoint number i in its given version, which shows as its weight.
func endpoint(i, version int) discovery.Endpoint {
	return discovery.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d:443", i)}, Weight: uint32(version)}
}

func key(i int) string { return fmt.Sprintf("e%d", i) }

func testSnapshot(t *testing.T, b Backend) {
	want := 0
	if b.Put != nil {
		for want = range 3 {
			b.Put(key(want), endpoint(want, 1))
		}
		want = 3
	}
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	r.next()
	if b.Put == nil {
		return // what it holds is its own affair
	}
	r.until(func(s map[string]uint32) bool { return len(s) == want })
}

// testChanges follows puts, changes and deletes one by one.
func testChanges(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	r.next()
	for i := range 3 {
		b.Put(key(i), endpoint(i, 1))
		r.until(func(s map[string]uint32) bool { return len(s) == i+1 })
	}
	for version := 2; version < 10; version++ {
		b.Put(key(1), endpoint(1, version))
		r.until(func(s map[string]uint32) bool { return s[endpoint(1, 1).ID()] == uint32(version) })
	}
	for i := range 3 {
		b.Delete(key(i))
		r.until(func(s map[string]uint32) bool { return len(s) == 2-i })
	}
}

// testChangesWhileWatchersCome begins watches in the midst of changes: the seam between snapshot and changes is where an
// event is lost or doubled.
func testChangesWhileWatchersCome(t *testing.T, b Backend) {
	const watchers, versions = 8, 100
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for version := 1; version <= versions; version++ {
			b.Put(key(version%5), endpoint(version%5, version))
			if version%7 == 0 && version < versions {
				b.Delete(key(version % 5))
			}
		}
	})
	want := map[string]uint32{}
	for version := 1; version <= versions; version++ {
		want[endpoint(version%5, 1).ID()] = uint32(version)
		if version%7 == 0 && version < versions {
			delete(want, endpoint(version%5, 1).ID())
		}
	}
	for range watchers {
		wg.Go(func() {
			r := newReader(t, b.Source)
			defer r.watcher.Close()
			r.untilEqual(want)
		})
	}
}

// testFallenBehind lets a watcher read nothing for longer than a source should keep for it.
func testFallenBehind(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	r.next()
	const versions = 2000
	for version := 1; version <= versions; version++ {
		b.Put(key(version%3), endpoint(version%3, version))
	}
	r.untilEqual(map[string]uint32{
		endpoint(versions%3, 1).ID():     versions,
		endpoint((versions-1)%3, 1).ID(): versions - 1,
		endpoint((versions-2)%3, 1).ID(): versions - 2,
	})
}

func testCompacted(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	for round := range 3 {
		r.next()
		b.Put(key(0), endpoint(0, 10*round+1))
		b.Put(key(round+1), endpoint(round+1, 1))
		b.Compact()
		b.Put(key(0), endpoint(0, 10*round+2))
		r.until(func(s map[string]uint32) bool {
			return s[endpoint(0, 1).ID()] == uint32(10*round+2) && len(s) == round+2
		})
		b.Delete(key(round + 1))
		b.Put(key(round+1), endpoint(round+1, 2))
		b.Compact()
		// The next round's first event is whatever the watcher makes of it.
	}
	r.untilEqual(map[string]uint32{
		endpoint(0, 1).ID(): 22, endpoint(1, 1).ID(): 2, endpoint(2, 1).ID(): 2, endpoint(3, 1).ID(): 2,
	})
}

// testContextEnds gives up waiting, and loses nothing by it.
func testContextEnds(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for range 5 {
		switch ev, err := r.watcher.Next(ended); {
		case err == nil:
			r.take(ev) // it was there already
		case !errors.Is(err, context.Canceled):
			t.Fatalf("Next returned %v when its context had ended, want %v", err, context.Canceled)
		}
	}
	if !r.started {
		r.next()
	}
	if canPut(b) {
		b.Put(key(1), endpoint(1, 1))
		r.until(func(s map[string]uint32) bool { return len(s) == 1 })
	}
}

func testClose(t *testing.T, b Backend) {
	for _, started := range []bool{false, true} {
		r := newReader(t, b.Source)
		if started {
			r.next()
		}
		r.watcher.Close()
		r.watcher.Close()
		r.watcher.Refresh()
		for range 2 {
			if _, err := r.watcher.Next(context.Background()); !errors.Is(err, discovery.ErrClosed) {
				t.Errorf("Next returned %v after Close, want ErrClosed", err)
			}
		}
	}
	// The source outlives its watchers.
	r := newReader(t, b.Source)
	defer r.watcher.Close()
	r.next()
}

func testCloseWhileNextWaits(t *testing.T, b Backend) {
	r := newReader(t, b.Source)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := r.watcher.Next(context.Background()); errors.Is(err, discovery.ErrClosed) {
				ended <- err
				return
			}
		}
	}()
	r.watcher.Refresh()
	r.watcher.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Next still waits after Close")
	}
}

func testCloseAtAnyMoment(t *testing.T, b Backend) {
	var wg sync.WaitGroup
	for i := range 20 {
		r := newReader(t, b.Source)
		wg.Go(func() {
			for {
				_, err := r.watcher.Next(context.Background())
				if errors.Is(err, discovery.ErrClosed) {
					return
				}
			}
		})
		wg.Go(func() {
			b.Put(key(i%3), endpoint(i%3, i+1))
			r.watcher.Refresh()
			r.watcher.Close()
		})
	}
	wg.Wait()
}
