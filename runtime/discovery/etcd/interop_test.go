package etcd

import (
	"errors"
	"maps"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

func TestManagerReadsRegistrations(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	full := discovery.Endpoint{
		Addresses: []string{at1, "[2001:db8::1]:443"}, Weight: 1_000_000, Zone: "eu", Priority: 1,
		Metadata: map[string]string{"rack": "r7", "weight": "heavy"},
	}
	for _, e := range []discovery.Endpoint{full, {Addresses: []string{at2}}} {
		r, err := Register(within(t), client, "inventory", e, ttl, impatient()...)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	manager, err := endpoints.NewManager(client, "inventory")
	if err != nil {
		t.Fatal(err)
	}
	list, err := manager.List(within(t))
	if err != nil || len(list) != 2 {
		t.Fatalf("the manager lists %v, %v", list, err)
	}
	for key, address := range map[string]string{"inventory/" + at1: at1, "inventory/" + at2: at2} {
		if list[key].Addr != address {
			t.Errorf("at %q the manager reads %+v", key, list[key])
		}
	}
	// What the manager reads and writes elsewhere says the same.
	if err := manager.AddEndpoint(within(t), "inventory/copy", list["inventory/"+at1]); err != nil {
		t.Fatal(err)
	}
	r := read(t, New(client, impatient()...).Source("inventory"))
	r.until("all three", func() bool { return len(r.entries) == 3 })
	for _, key := range []string{"inventory/" + at1, "inventory/copy"} {
		if !r.entries[key].Equal(full) {
			t.Errorf("at %q is %+v, want %+v", key, r.entries[key], full)
		}
	}
}

func TestSourceReadsTheManager(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	manager, err := endpoints.NewManager(client, "inventory")
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, New(client, impatient()...).Source("inventory"))
	add := func(key string, e endpoints.Endpoint) {
		t.Helper()
		if err := manager.AddEndpoint(within(t), "inventory/"+key, e); err != nil {
			t.Fatal(err)
		}
	}
	add("a", endpoints.Endpoint{Addr: at1})
	add("b", endpoints.Endpoint{Addr: at2, Metadata: map[string]any{"weight": 7, "version": "v2"}})
	r.untilSet(map[string]uint32{at1: 1, at2: 7})
	if got := r.entries["inventory/b"].Metadata; !maps.Equal(got, map[string]string{"version": "v2"}) {
		t.Errorf("the metadata is %v", got)
	}

	// What cannot be read is reported, and takes nothing else down.
	add("b", endpoints.Endpoint{Addr: at2, Metadata: map[string]any{"weight": "heavy"}})
	add("c", endpoints.Endpoint{Addr: "nonsense"})
	add("d", endpoints.Endpoint{Addr: at3})
	var unreadable *UnreadableError
	r.until("the others", func() bool {
		return maps.Equal(r.weights(), map[string]uint32{at1: 1, at2: 7, at3: 1}) &&
			errors.As(r.stale, &unreadable) && len(unreadable.Values) == 2
	})
	if unreadable.Values[0].Key != "inventory/b" || unreadable.Values[1].Key != "inventory/c" {
		t.Errorf("reported: %v", unreadable)
	}
	add("b", endpoints.Endpoint{Addr: at2, Metadata: map[string]any{"weight": 8}})
	if err := manager.DeleteEndpoint(within(t), "inventory/c"); err != nil {
		t.Fatal(err)
	}
	r.untilSet(map[string]uint32{at1: 1, at2: 8, at3: 1})
}
