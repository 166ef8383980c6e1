package discovery

import (
	"slices"

	"google.golang.org/grpc/resolver"
)

// view is what a resolver knows of its source. It is for one goroutine. The values that it hands out in a state are
// never changed afterwards, and those of an endpoint that did not change are the same ones in the next state, slices
// included.
type view struct {
	serverNames bool // give each address its own name for TLS and :authority

	loaded   bool
	revision int64
	stale    error
	records  []*record // in the order of the set
	byKey    map[string]*record
	ids      map[string]int // records per endpoint identity
	shared   int            // identities that have more than one record
}

type record struct {
	key      string
	id       string
	endpoint Endpoint
	resolved resolver.Endpoint
	gone     bool

	// During reset.
	position int  // before it
	listed   bool // in the snapshot
}

// apply takes over an event and reports whether a new state has to be pushed: the revision alone is no reason.
// Changes before the first snapshot say nothing and are dropped.
func (v *view) apply(ev Event) (changed bool) {
	if !v.loaded && !ev.Reset {
		return false
	}
	if ev.Reset {
		changed = v.reset(ev.Put)
	} else {
		changed = v.change(ev.Put, ev.Delete)
	}
	v.revision = max(v.revision, ev.Revision)
	return v.setStale(ev.Stale) || changed
}

// setStale reports whether v turned stale or fresh. Another reason for the same is not told.
func (v *view) setStale(err error) bool {
	changed := (v.stale == nil) != (err == nil)
	v.stale = err
	return changed
}

func (v *view) change(put []Entry, del []string) (changed bool) {
	for _, key := range del {
		changed = v.remove(key) || changed
	}
	removed := changed
	for _, e := range put {
		if len(e.Endpoint.Addresses) == 0 {
			removed = v.remove(e.Key) || removed
			changed = removed || changed
			continue
		}
		changed = v.put(e, v.byKey[e.Key]) || changed
	}
	if removed {
		v.records = slices.DeleteFunc(v.records, func(r *record) bool { return r.gone })
	}
	return changed
}

// reset costs little where the snapshot is much like what is known: keys are looked up only where the order differs.
func (v *view) reset(put []Entry) (changed bool) {
	changed = !v.loaded
	if !v.loaded {
		v.loaded, v.byKey, v.ids = true, make(map[string]*record), make(map[string]int)
	}
	old := v.records
	for i, r := range old {
		r.position, r.listed = i, false
	}
	v.records = make([]*record, 0, len(put))
	next := 0
	for _, e := range put {
		if len(e.Endpoint.Addresses) == 0 {
			continue
		}
		var r *record
		if next < len(old) && old[next].key == e.Key {
			r = old[next]
		} else {
			r = v.byKey[e.Key]
		}
		if r != nil && !r.listed {
			changed = changed || r.position != len(v.records)
			next = r.position + 1
			r.listed = true
			v.records = append(v.records, r)
		}
		changed = v.put(e, r) || changed
	}
	for _, r := range old {
		if !r.listed {
			changed = v.remove(r.key) || changed
		}
	}
	return changed
}

// put takes over an entry whose record, if there is one, is r.
func (v *view) put(e Entry, r *record) (changed bool) {
	endpoint := normal(e.Endpoint)
	if r == nil {
		r = &record{key: e.Key, id: endpoint.ID(), endpoint: endpoint, resolved: v.resolve(endpoint), listed: true}
		v.records = append(v.records, r)
		v.byKey[r.key] = r
		v.remember(r.id)
		return true
	}
	if r.endpoint.Equal(endpoint) {
		return false
	}
	if r.endpoint.serverName != endpoint.serverName || !slices.Equal(r.endpoint.Addresses, endpoint.Addresses) {
		v.forget(r.id)
		r.id, r.resolved = endpoint.ID(), v.resolve(endpoint)
		v.remember(r.id)
	}
	r.endpoint = endpoint
	return true
}

func (v *view) remove(key string) bool {
	r := v.byKey[key]
	if r == nil {
		return false
	}
	r.gone = true
	delete(v.byKey, key)
	v.forget(r.id)
	return true
}

func (v *view) remember(id string) {
	v.ids[id]++
	if v.ids[id] == 2 {
		v.shared++
	}
}

func (v *view) forget(id string) {
	v.ids[id]--
	switch v.ids[id] {
	case 0:
		delete(v.ids, id)
	case 1:
		v.shared--
	}
}

// state returns the whole picture as grpc takes it.
func (v *view) state() resolver.State {
	set := &Set{Revision: v.revision, Stale: v.stale, Endpoints: make([]Endpoint, 0, len(v.records))}
	resolved := make([]resolver.Endpoint, 0, len(v.records)) // not nil: grpc would look at Addresses instead
	var seen map[string]bool
	if v.shared > 0 {
		seen = make(map[string]bool, v.shared)
	}
	for _, r := range v.records {
		if seen != nil && v.ids[r.id] > 1 {
			if seen[r.id] {
				continue
			}
			seen[r.id] = true
		}
		set.Endpoints = append(set.Endpoints, r.endpoint)
		resolved = append(resolved, r.resolved)
	}
	set.resolved, set.form = resolved, formPlain
	if v.serverNames {
		set.form = formNamed
	}
	return resolver.State{Endpoints: resolved, Attributes: withSet(nil, set)}
}

func (v *view) resolve(e Endpoint) resolver.Endpoint {
	addresses := make([]resolver.Address, len(e.Addresses))
	for i, a := range e.Addresses {
		dial, name := dialAddress(a)
		switch {
		case !v.serverNames:
			name = ""
		case e.serverName != "":
			name = e.serverName
		}
		addresses[i] = resolver.Address{Addr: dial, ServerName: name}
	}
	return resolver.Endpoint{Addresses: addresses}
}

// normal keeps the promise of Endpoint.Weight.
func normal(e Endpoint) Endpoint {
	e.Weight = max(e.Weight, 1)
	return e
}
