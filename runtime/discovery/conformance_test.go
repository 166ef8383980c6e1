package discovery_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/discoverytest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	for _, history := range []int{1, 20, 1000} {
		discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
			r := discovery.NewRegistry(discovery.WithHistory(history))
			t.Cleanup(r.Close)
			return discoverytest.Backend{
				Source: r.Source("inventory"),
				Put: func(key string, e discovery.Endpoint) {
					if _, err := r.Put("inventory", key, e); err != nil {
						t.Error(err)
					}
				},
				Delete: func(key string) {
					if _, deleted, err := r.Delete("inventory", key); err != nil || !deleted {
						t.Error(deleted, err)
					}
				},
				Compact: func() { r.Compact(r.Revision()) },
			}
		}})
	}
}

// listing is a set of endpoints that is published as a whole.
type listing struct {
	mu        sync.Mutex
	endpoints map[string]discovery.Endpoint
	publish   func([]discovery.Endpoint)
}

func (l *listing) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.all()
}

func (l *listing) all() {
	var all []discovery.Endpoint
	for _, key := range slices.Sorted(maps.Keys(l.endpoints)) {
		all = append(all, l.endpoints[key])
	}
	l.publish(all)
}

func (l *listing) backend(src discovery.Source) discoverytest.Backend {
	l.endpoints = make(map[string]discovery.Endpoint)
	return discoverytest.Backend{
		Source: src,
		Put: func(key string, e discovery.Endpoint) {
			l.change(func() { l.endpoints[key] = e })
		},
		Delete: func(key string) { l.change(func() { delete(l.endpoints, key) }) },
	}
}

func TestFileKeepsTheContract(t *testing.T) {
	discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
		dir := filepath.Join(t.TempDir(), "d")
		path := filepath.Join(dir, "endpoints.yaml")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l := &listing{publish: func(all []discovery.Endpoint) {
			text := "endpoints:\n"
			if len(all) == 0 {
				text = "endpoints: []\n"
			}
			for _, e := range all {
				text += "- " + discovery.FormatEndpoints([]discovery.Endpoint{e}) + "\n"
			}
			if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Error(err)
			}
		}}
		l.publish(nil)
		b := l.backend(discovery.OpenQuickFile(t, "file://"+path))
		b.Lose = func() {
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Error(err)
			}
		}
		b.Restore = func() {
			if err := os.Rename(dir+".away", dir); err != nil {
				t.Error(err)
			}
		}
		return b
	}})
}

func TestDNSPollKeepsTheContract(t *testing.T) {
	discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
		src, zone := discovery.OpenQuickSRV()
		l := &listing{publish: zone.Publish}
		l.publish(nil)
		b := l.backend(src)
		b.Lose, b.Restore = func() { zone.Fail(true) }, func() { zone.Fail(false) }
		return b
	}})
}
