package discovery

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func at(address string) Endpoint { return Endpoint{Addresses: []string{address}, Weight: 1} }

// nextOf takes an event that must be there.
func nextOf(t *testing.T, w Watcher) Event {
	t.Helper()
	if b := w.(Buffered); !b.Pending() {
		t.Fatal("nothing is pending")
	}
	ev, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func put(t *testing.T, r *Registry, service, key string, e Endpoint, opts ...PutOption) int64 {
	t.Helper()
	revision, err := r.Put(service, key, e, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestRegistryWatch(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	put(t, r, "inv", "b", at("B:1"))
	put(t, r, "inv", "a", at("a:1"))
	put(t, r, "other", "x", at("x:1"))
	w := r.Source("inv").Watch()
	defer w.Close()
	want := Event{Revision: 3, Reset: true, Put: []Entry{{"inv/b", at("b:1")}, {"inv/a", at("a:1")}}}
	if ev := nextOf(t, w); !reflect.DeepEqual(ev, want) {
		t.Errorf("got %+v, want %+v", ev, want)
	}
	if w.(Buffered).Pending() {
		t.Error("more is pending")
	}
	put(t, r, "other", "x", at("y:1"))
	if w.(Buffered).Pending() {
		t.Error("another service's change is pending")
	}
	if _, applied, err := r.Txn(nil, PutOp("inv", "c", at("c:1")), DeleteOp("inv", "b"), PutOp("other", "z", at("z:1")),
		DeleteOp("inv", "nobody")); err != nil || !applied {
		t.Fatalf("got %v, %v", applied, err)
	}
	want = Event{Revision: 5, Put: []Entry{{"inv/c", at("c:1")}}, Delete: []string{"inv/b"}}
	if ev := nextOf(t, w); !reflect.DeepEqual(ev, want) {
		t.Errorf("got %+v, want %+v", ev, want)
	}
	if _, deleted, err := r.Delete("inv", "nobody"); deleted || err != nil || r.Revision() != 5 {
		t.Errorf("a delete of nothing: %v, %v, revision %d", deleted, err, r.Revision())
	}
}

func TestRegistryCopiesWhatItIsGiven(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	e := Endpoint{Addresses: []string{"a:1"}, Metadata: map[string]string{"k": "v"}}
	put(t, r, "inv", "a", e)
	e.Addresses[0], e.Metadata["k"] = "b:1", "w"
	w := r.Source("inv").Watch()
	defer w.Close()
	got := nextOf(t, w).Put[0].Endpoint
	if got.Addresses[0] != "a:1" || got.Metadata["k"] != "v" || got.Weight != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestRegistryRefuses(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	_, err := r.Put("", "", Endpoint{Addresses: []string{"a", "b:1", "B:1"}, Weight: maxWeight + 1, Priority: maxPriority + 1})
	for _, want := range []string{"service has no name", "key is empty", "has no port", "twice", "weight", "priority"} {
		if !IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	_, _, err = r.Txn(nil, PutOp("s", "k", at("a:1")), DeleteOp("s", "k"))
	if !IsPermanent(err) || !strings.Contains(err.Error(), `"s/k" is changed twice`) {
		t.Errorf("got %v", err)
	}
	if _, err = r.Put("s", "k", at("a:1"), WithLease(7)); !errors.Is(err, ErrLeaseNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err = r.PutValue("", nil); !IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if _, err = r.Grant(0); !IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if r.Revision() != 0 {
		t.Errorf("revision %d after nothing", r.Revision())
	}
}

func TestRegistryTxnOfOneWinner(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	var wg sync.WaitGroup
	won := make(chan int, 20)
	for i := range 20 {
		wg.Go(func() {
			absent := []Compare{{"leader", "one", 0}}
			if _, ok, _ := r.Txn(absent, PutOp("leader", "one", at(fmt.Sprintf("h%d:1", i)))); ok {
				won <- i
			}
		})
	}
	wg.Wait()
	if len(won) != 1 || r.Version("leader", "one") != 1 || r.Revision() != 1 {
		t.Fatalf("%d winners, version %d, revision %d", len(won), r.Version("leader", "one"), r.Revision())
	}
	if _, ok, err := r.Txn([]Compare{{"leader", "one", 1}}, PutOp("leader", "one", at("next:1"))); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestRegistryLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		defer r.Close()
		lease, err := r.Grant(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		put(t, r, "inv", "a", at("a:1"), WithLease(lease))
		put(t, r, "inv", "b", at("b:1"), WithLease(lease))
		put(t, r, "inv", "c", at("c:1"), WithLease(lease))
		put(t, r, "inv", "c", at("c:1")) // off the lease
		w := r.Source("inv").Watch()
		defer w.Close()
		nextOf(t, w)
		for range 5 {
			time.Sleep(8 * time.Second)
			if err := r.KeepAlive(lease); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		if w.(Buffered).Pending() {
			t.Fatal("the lease ended too soon")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		ev := nextOf(t, w)
		slices.Sort(ev.Delete)
		if !slices.Equal(ev.Delete, []string{"inv/a", "inv/b"}) || ev.Revision != 5 {
			t.Errorf("got %+v", ev)
		}
		if err := r.KeepAlive(lease); !errors.Is(err, ErrLeaseNotFound) {
			t.Errorf("got %v", err)
		}
		if err := r.Revoke(lease); !errors.Is(err, ErrLeaseNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		there := func(want bool) {
			t.Helper()
			synctest.Wait()
			if got := r.Version("inv", "a:1") > 0; got != want {
				t.Errorf("registered: %v, want %v", got, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		deregister, err := r.Register(ctx, "inv", at("a:1"), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		there(true)
		// A lease that was lost is replaced.
		if err := r.Revoke(r.lastLease); err != nil {
			t.Fatal(err)
		}
		there(false)
		time.Sleep(time.Second)
		there(true)
		// Another one of the same address takes over, and the first leaves it alone.
		second, err := r.Register(t.Context(), "inv", at("a:1"), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		deregister()
		deregister()
		there(true)
		second()
		there(false)
		if _, err = r.Register(ctx, "inv", at("a:1"), time.Second); err != nil {
			t.Fatal(err)
		}
		there(true)
		cancel()
		there(false)
		if _, err = r.Register(t.Context(), "inv", Endpoint{}, time.Second); !IsPermanent(err) || len(r.leases) != 0 {
			t.Errorf("got %v, %d leases left", err, len(r.leases))
		}
		last, err := r.Register(t.Context(), "inv", at("a:1"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		last()
		if _, err := r.Register(t.Context(), "inv", at("a:1"), time.Second); !errors.Is(err, ErrRegistryClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRegistryFallenBehind(t *testing.T) {
	r := NewRegistry(WithHistory(4))
	defer r.Close()
	w := r.Source("inv").Watch()
	defer w.Close()
	nextOf(t, w)
	for i := range 5 {
		put(t, r, "inv", "a", Endpoint{Addresses: []string{"a:1"}, Weight: uint32(i + 1)})
	}
	for i := range 5 {
		if ev := nextOf(t, w); ev.Reset || ev.Put[0].Endpoint.Weight != uint32(i+1) {
			t.Fatalf("event %d: got %+v", i, ev)
		}
	}
	for i := range 20 {
		put(t, r, "inv", "a", Endpoint{Addresses: []string{"a:1"}, Weight: uint32(i + 1)})
	}
	if ev := nextOf(t, w); !ev.Reset || ev.Revision != 25 || ev.Put[0].Endpoint.Weight != 20 {
		t.Errorf("got %+v", ev)
	}
	if w.(Buffered).Pending() {
		t.Error("more is pending after a snapshot")
	}
}

func TestRegistryWatchFrom(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	for i := range 4 {
		put(t, r, "inv", fmt.Sprint(i), at(fmt.Sprintf("h%d:1", i)))
	}
	first := func(revision int64) Event {
		w := r.WatchFrom("inv", revision)
		defer w.Close()
		return nextOf(t, w)
	}
	if ev := first(0); ev.Reset || ev.Revision != 1 {
		t.Errorf("from the start: got %+v", ev)
	}
	r.Compact(2)
	if ev := first(2); ev.Reset || ev.Revision != 3 {
		t.Errorf("after what is compacted: got %+v", ev)
	}
	if ev := first(1); !ev.Reset || ev.Revision != 4 || len(ev.Put) != 4 {
		t.Errorf("from what is compacted: got %+v", ev)
	}
	r.Compact(100)
	w := r.WatchFrom("inv", 4)
	defer w.Close()
	if w.(Buffered).Pending() {
		t.Error("nothing was missed, and something is pending")
	}
	// A service that is gone is forgotten, and not that it was there.
	for i := range 4 {
		if _, _, err := r.Delete("inv", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if len(r.buckets) != 0 {
		t.Errorf("%d services are kept", len(r.buckets))
	}
	if ev := first(4); !ev.Reset || len(ev.Put) != 0 {
		t.Errorf("from a service that is gone: got %+v", ev)
	}
}

func TestRegistryCloseWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		if _, err := r.Grant(time.Hour); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 10 {
			w, v := r.Source(fmt.Sprint(i%3)).Watch(), r.WatchValue(fmt.Sprint(i%3))
			wg.Go(func() {
				defer w.Close()
				for {
					if _, err := w.Next(t.Context()); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("got %v", err)
						}
						return
					}
				}
			})
			wg.Go(func() {
				defer v.Close()
				for {
					if _, err := v.Next(t.Context()); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("got %v", err)
						}
						return
					}
				}
			})
		}
		synctest.Wait()
		r.Close()
		r.Close()
		wg.Wait()
		if _, err := r.Put("a", "b", at("a:1")); !errors.Is(err, ErrRegistryClosed) {
			t.Errorf("got %v", err)
		}
		if err := r.KeepAlive(1); !errors.Is(err, ErrRegistryClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRegistryValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		defer r.Close()
		w := r.WatchValue("policy/inv")
		defer w.Close()
		got := make(chan Value)
		go func() {
			defer close(got)
			for {
				v, err := w.Next(t.Context())
				if err != nil {
					return
				}
				got <- v
			}
		}()
		if v := <-got; v.Exists {
			t.Errorf("got %+v", v)
		}
		data := []byte("one")
		if _, err := r.PutValue("policy/inv", data); err != nil {
			t.Fatal(err)
		}
		data[0] = 'x'
		if v := <-got; string(v.Data) != "one" || v.Revision != 1 || !v.Exists {
			t.Errorf("got %+v", v)
		}
		lease, _ := r.Grant(time.Second)
		for _, text := range []string{"two", "three", "four"} {
			if _, err := r.PutValue("policy/inv", []byte(text), WithLease(lease)); err != nil {
				t.Fatal(err)
			}
		}
		v := <-got
		for string(v.Data) != "four" {
			v = <-got
		}
		put(t, r, "policy/inv", "k", at("a:1")) // another space
		if v := <-got; v.Exists || v.Revision != 6 {
			t.Errorf("got %+v at the end of its lease", v)
		}
		if _, err := r.DeleteValue("policy/inv"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if _, open := <-got; open {
			t.Error("a delete of nothing was told")
		}
	})
}
