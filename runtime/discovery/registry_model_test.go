package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRegistryIsLikeItsModel runs any sequence of changes, compactions and watches beside a list of all that happened.
func TestRegistryIsLikeItsModel(t *testing.T) {
	services, keys := rapid.SampledFrom([]string{"s", "t"}), rapid.SampledFrom([]string{"a", "b", "c", "d"})
	rapid.Check(t, func(t *rapid.T) {
		r := NewRegistry(WithHistory(rapid.IntRange(1, 8).Draw(t, "history")))
		defer r.Close()
		model := newRegistryModel()
		var readers []*modelReader
		weight := uint32(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			service := services.Draw(t, "service")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3:
				weight++
				var ops []Op
				for _, k := range rapid.SliceOfNDistinct(keys, 1, 3, rapid.ID[string]).Draw(t, "put") {
					ops = append(ops, PutOp(service, k, Endpoint{Addresses: []string{k + ":1"}, Weight: weight}))
					model.set(service, k, weight)
				}
				if _, _, err := r.Txn(nil, ops...); err != nil {
					t.Fatal(err)
				}
				model.revision++
			case 4, 5:
				k := keys.Draw(t, "delete")
				if _, deleted, _ := r.Delete(service, k); deleted != model.remove(service, k) {
					t.Fatalf("deleted %s/%s: %v", service, k, deleted)
				}
			case 6:
				r.Compact(int64(rapid.IntRange(0, int(model.revision)+1).Draw(t, "compact")))
			case 7:
				readers = append(readers, &modelReader{service: service, watcher: r.Source(service).Watch()})
			default:
				if len(readers) > 0 {
					rapid.SampledFrom(readers).Draw(t, "reader").read(t, rapid.IntRange(1, 5).Draw(t, "events"), model)
				}
			}
			if r.Revision() != model.revision {
				t.Fatalf("revision %d, want %d", r.Revision(), model.revision)
			}
		}
		for _, rd := range readers {
			rd.read(t, 1000, model)
			if got, want := rd.v.state(), model.list(rd.service); !slices.Equal(weights(SetOf(got)), want) {
				t.Fatalf("%s: got %v, want %v", rd.service, weights(SetOf(got)), want)
			}
			rd.watcher.Close()
		}
	})
}

// registryModel is what is there, in the order in which it came.
type registryModel struct {
	revision int64
	entries  map[string][]string // "key=weight"
}

func newRegistryModel() *registryModel { return &registryModel{entries: make(map[string][]string)} }

func (m *registryModel) index(service, key string) int {
	return slices.IndexFunc(m.entries[service], func(e string) bool { return strings.HasPrefix(e, key+":1=") })
}

func (m *registryModel) set(service, key string, weight uint32) {
	e := fmt.Sprintf("%s:1=%d", key, weight)
	if i := m.index(service, key); i >= 0 {
		m.entries[service][i] = e
		return
	}
	m.entries[service] = append(m.entries[service], e)
}

func (m *registryModel) remove(service, key string) bool {
	i := m.index(service, key)
	if i >= 0 {
		m.entries[service] = slices.Delete(m.entries[service], i, i+1)
		m.revision++
	}
	return i >= 0
}

func (m *registryModel) list(service string) []string { return m.entries[service] }

func weights(s *Set) []string {
	var out []string
	for _, e := range s.Endpoints {
		out = append(out, fmt.Sprintf("%s=%d", e.ID(), e.Weight))
	}
	return out
}

// modelReader applies what a watcher says as a resolver does.
type modelReader struct {
	service  string
	watcher  Watcher
	v        view
	revision int64
}

func (r *modelReader) read(t *rapid.T, events int, m *registryModel) {
	for range events {
		if !r.watcher.(Buffered).Pending() {
			if r.v.loaded && !slices.Equal(weights(SetOf(r.v.state())), m.list(r.service)) {
				t.Fatalf("nothing is pending, and %s is %v, want %v", r.service, weights(SetOf(r.v.state())), m.list(r.service))
			}
			return
		}
		ev, err := r.watcher.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !r.v.loaded && !ev.Reset || ev.Revision < r.revision || !ev.Reset && ev.Revision == r.revision {
			t.Fatalf("%+v came after revision %d", ev, r.revision)
		}
		for _, k := range ev.Delete {
			if r.v.byKey[k] == nil {
				t.Fatalf("%+v deletes what is not there", ev)
			}
		}
		r.revision = ev.Revision
		if !r.v.apply(ev) && !ev.Reset {
			t.Fatalf("%+v changes nothing: it was seen twice", ev)
		}
	}
}
