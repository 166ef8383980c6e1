package etcd

import (
	"context"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery/etcd/internal/faultproxy"
)

const at1, at2, at3 = "10.0.0.1:443", "10.0.0.2:443", "10.0.0.3:443"

func TestDownAtTheStart(t *testing.T) {
	t.Parallel()
	s := newServer(t, "one")
	r := read(t, New(connect(t, s.address()), impatient()...).Source("inventory"))
	r.untilFailure()
	s.start()
	put(t, connect(t, s.address()), "inventory/a", at1, 1)
	r.untilSet(map[string]uint32{at1: 1})
}

func TestRestart(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := connect(t, s.address())
	put(t, client, "inventory/a", at1, 1)
	r := read(t, New(client, impatient()...).Source("inventory"))
	r.untilSet(map[string]uint32{at1: 1})
	s.stop()
	r.untilStale()
	if len(r.entries) != 1 {
		t.Errorf("without etcd the set is %v, want the last good one", r.entries)
	}
	s.start()
	r.untilSet(map[string]uint32{at1: 1})
	put(t, client, "inventory/b", at2, 2)
	del(t, client, "inventory/a")
	r.untilSet(map[string]uint32{at2: 2})
	if r.resets != 1 {
		t.Errorf("%d resets, want the first one alone: nothing was lost", r.resets)
	}
}

// TestPartition keeps the connection as it is, without a byte passing, and changes what is there meanwhile.
func TestPartition(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name               string
		toServer, toClient faultproxy.Mode
		heal               func(*faultproxy.Proxy)
		compact            bool
		resets             int
	}{
		{"both ways", faultproxy.Hold, faultproxy.Hold, func(*faultproxy.Proxy) {}, false, 1},
		{"nothing is heard", faultproxy.Pass, faultproxy.Hold, func(*faultproxy.Proxy) {}, false, 1},
		{"nothing is said", faultproxy.Hold, faultproxy.Pass, func(*faultproxy.Proxy) {}, false, 1},
		{"half open", faultproxy.Drop, faultproxy.Drop, (*faultproxy.Proxy).Reset, false, 1},
		{"compacted meanwhile", faultproxy.Drop, faultproxy.Drop, (*faultproxy.Proxy).Reset, true, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			writer := connect(t, s.address())
			p := proxied(t, s.address())
			service := t.Name()
			put(t, writer, service+"/a", at1, 1)
			put(t, writer, service+"/b", at2, 1)
			r := read(t, New(connect(t, p.Addr()), impatient()...).Source(service))
			r.untilSet(map[string]uint32{at1: 1, at2: 1})
			p.SetModes(tt.toServer, tt.toClient)
			r.untilStale()
			del(t, writer, service+"/a")
			put(t, writer, service+"/b", at2, 2)
			put(t, writer, service+"/c", at3, 3)
			if tt.compact {
				compact(t, writer)
			}
			tt.heal(p)
			p.SetModes(faultproxy.Pass, faultproxy.Pass)
			r.untilSet(map[string]uint32{at2: 2, at3: 3})
			if r.resets != tt.resets {
				t.Errorf("%d resets, want %d", r.resets, tt.resets)
			}
		})
	}
}

// TestHalfOpenWithAnotherMember goes on with another member when one has gone without a word.
func TestHalfOpenWithAnotherMember(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	writer := connect(t, s.address())
	one, two := proxied(t, s.address()), proxied(t, s.address())
	put(t, writer, "inventory/a", at1, 1)
	r := read(t, New(connect(t, one.Addr(), two.Addr()), impatient()...).Source("inventory"))
	r.untilSet(map[string]uint32{at1: 1})
	for weight, dead := range []*faultproxy.Proxy{one, two, one} {
		dead.SetModes(faultproxy.Drop, faultproxy.Drop)
		put(t, writer, "inventory/a", at1, uint32(weight+2))
		r.untilSet(map[string]uint32{at1: uint32(weight + 2)})
		dead.Reset()
		dead.SetModes(faultproxy.Pass, faultproxy.Pass)
	}
}

func TestWipedRegistry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		more int // revisions of the new registry beyond those of the old
	}{
		{"the revision goes back", 0},
		{"the revision is beyond what was known", 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			p := proxied(t, s.address())
			r := read(t, New(connect(t, p.Addr()), impatient()...).Source("inventory"))
			writer := connect(t, s.address())
			for weight := range uint32(20) {
				put(t, writer, "inventory/a", at1, weight+1)
			}
			put(t, writer, "inventory/b", at2, 1)
			r.untilSet(map[string]uint32{at1: 20, at2: 1})
			before := r.revision
			p.Refuse(true)
			p.Reset()
			s.wipe()
			s.start()
			writer = connect(t, s.address())
			put(t, writer, "inventory/c", at3, 1)
			for range tt.more {
				put(t, writer, "other/x", at1, 1)
			}
			p.Refuse(false)
			r.untilSet(map[string]uint32{at3: 1})
			put(t, writer, "inventory/c", at3, 2)
			r.untilSet(map[string]uint32{at3: 2})
			if r.revision <= before {
				t.Errorf("the revision went from %d to %d", before, r.revision)
			}
		})
	}
}

func TestLeaderLoss(t *testing.T) {
	t.Parallel()
	members := startCluster(t)
	first := members[0]
	client := connect(t, first.address())
	put(t, client, "inventory/a", at1, 1)
	r := read(t, New(client, impatient()...).Source("inventory"))
	r.untilSet(map[string]uint32{at1: 1})

	members[1].stop()
	members[2].stop()
	r.untilStale()
	late := read(t, New(client, impatient()...).Source("inventory"))
	late.until("what the member knows", func() bool { return late.stale != nil && len(late.entries) == 1 })

	members[1].launch()
	members[1].await()
	for _, reader := range []*reader{r, late} {
		reader.untilSet(map[string]uint32{at1: 1})
	}
	put(t, client, "inventory/b", at2, 1)
	for _, reader := range []*reader{r, late} {
		reader.untilSet(map[string]uint32{at1: 1, at2: 1})
	}
}

// TestSlowReader lets a reader read nothing while more happens than is kept for it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	writer := connect(t, s.address())
	r := read(t, New(connect(t, s.address()), impatient()...).Source("inventory"))
	r.untilSet(map[string]uint32{})
	for weight := range uint32(3 * maxPending) {
		put(t, writer, "inventory/a", at1, weight+1)
	}
	r.untilSet(map[string]uint32{at1: 3 * maxPending})
	if _, err := writer.Delete(context.Background(), "inventory/a"); err != nil {
		t.Fatal(err)
	}
	r.untilSet(map[string]uint32{})
}
