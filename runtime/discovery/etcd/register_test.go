package etcd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/etcd/internal/faultproxy"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ttl is etcd's shortest.
const ttl = time.Second

func register(t *testing.T, client *clientv3.Client, address string, opts ...Option) *Registration {
	t.Helper()
	r, err := Register(within(t), client, "inventory", endpointAt(address, 3), ttl, impatient(opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// leaseOf returns the lease that the endpoint at address hangs on.
func leaseOf(t *testing.T, client *clientv3.Client, address string) clientv3.LeaseID {
	t.Helper()
	r, err := client.Get(within(t), "inventory/"+address)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("get: %v, %v", r, err)
	}
	return clientv3.LeaseID(r.Kvs[0].Lease)
}

func untilErr(t *testing.T, r *Registration, want bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if (r.Err() != nil) == want {
			return
		}
	}
	t.Fatalf("Err stays %v", r.Err())
}

func TestRegisterAndClose(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	watch := read(t, New(client, impatient()...).Source("inventory"))
	one, two := register(t, client, at1), register(t, client, at2)
	watch.untilSet(map[string]uint32{at1: 3, at2: 3})
	if err := one.Err(); err != nil || one.Key() != "inventory/"+at1 {
		t.Errorf("registered at %q with the error %v", one.Key(), err)
	}
	for range 2 {
		if err := one.Close(); err != nil {
			t.Error(err)
		}
	}
	<-one.Done()
	if one.Err() == nil {
		t.Error("a closed registration has no error")
	}
	watch.untilSet(map[string]uint32{at2: 3})
	lease := leaseOf(t, client, at2)
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	watch.untilSet(map[string]uint32{})
	if l, err := client.TimeToLive(within(t), lease); err != nil || l.TTL > 0 {
		t.Errorf("the lease is left over: %v, %v", l, err)
	}
}

// TestRegistrationComesBack takes the endpoint away in all the ways that there are.
func TestRegistrationComesBack(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := proxied(t, s.address())
	client := connect(t, s.address())
	lease := clientv3.NoLease
	tests := []struct {
		name string
		take func(*testing.T)
		gone bool // for a moment
	}{
		{"the lease is revoked", func(t *testing.T) {
			if _, err := client.Revoke(within(t), lease); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the key is deleted", func(t *testing.T) { del(t, client, "inventory/"+at1) }, true},
		{"a partition longer than the lease", func(*testing.T) {
			p.SetModes(faultproxy.Drop, faultproxy.Drop)
		}, true},
		{"etcd restarts", func(*testing.T) { s.stop(); s.start() }, false},
		{"the registry is wiped", func(*testing.T) { s.wipe(); s.start() }, false},
	}
	r := register(t, connect(t, p.Addr()), at1)
	watch := read(t, New(client, impatient()...).Source("inventory"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			watch.t = t
			watch.untilSet(map[string]uint32{at1: 3})
			lease = leaseOf(t, client, at1)
			tt.take(t)
			if tt.gone {
				watch.untilSet(map[string]uint32{})
			}
			p.Reset()
			p.SetModes(faultproxy.Pass, faultproxy.Pass)
			watch.untilSet(map[string]uint32{at1: 3})
			untilErr(t, r, false)
			watch.until("the endpoint on a lease that lives", func() bool {
				found, err := client.Get(within(t), "inventory/"+at1)
				return err == nil && len(found.Kvs) == 1 && found.Kvs[0].Lease != 0
			})
		})
	}
}

func TestRegisterWaits(t *testing.T) {
	t.Parallel()
	s := newServer(t, "one")
	client := connect(t, s.address())
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := Register(short, client, "inventory", endpointAt(at1, 1), ttl, impatient()...)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "inventory/"+at1) {
		t.Errorf("without etcd Register returned %v", err)
	}
	background := register(t, client, at2, WithoutWait())
	if background.Err() == nil {
		t.Error("the endpoint counts as registered without etcd")
	}
	registered := make(chan error, 1)
	go func() {
		r, err := Register(within(t), client, "inventory", endpointAt(at3, 1), ttl, impatient()...)
		if err == nil {
			err = r.Close()
		}
		registered <- err
	}()
	s.start()
	if err := <-registered; err != nil {
		t.Error(err)
	}
	untilErr(t, background, false)
	s.stop()
	untilErr(t, background, true)
	if err := background.Close(); err == nil {
		t.Error("an endpoint that could not be removed was not reported")
	}
}

// TestTakenKey lets another server register the same address: the later one wins, and the earlier one comes back after it.
func TestTakenKey(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	first := register(t, client, at1)
	second := register(t, client, at1)
	untilErr(t, first, true)
	if !errors.Is(first.Err(), errTaken) || second.Err() != nil {
		t.Errorf("the errors are %v and %v", first.Err(), second.Err())
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	untilErr(t, first, false)
	third := register(t, client, at1)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	leaseOf(t, client, at1) // it is the third's, and stays
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	client := connect(t, "127.0.0.1:1")
	_, err := Register(t.Context(), client, "/inventory", endpointAt("10.0.0.1", 1), time.Millisecond)
	var c *discovery.ConfigError
	if !errors.As(err, &c) || len(c.Problems) != 3 {
		t.Errorf("got %v, want three problems", err)
	}
	for _, e := range []discovery.Endpoint{{}, {Addresses: []string{""}}, {Addresses: []string{at1}, Priority: 200}} {
		if _, err := Register(t.Context(), client, "inventory", e, ttl); !discovery.IsPermanent(err) {
			t.Errorf("%+v: got %v, want a ConfigError", e, err)
		}
	}
}
