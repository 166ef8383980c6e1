package etcd

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/discoverytest"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// harness writes through one client and reads through another.
func harness(writer, readers *clientv3.Client) discoverytest.Harness {
	return discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
		service := t.Name()
		return discoverytest.Backend{
			Source: New(readers, impatient(WithPageSize(2))...).Source(service),
			Put: func(key string, e discovery.Endpoint) {
				put(t, writer, service+"/"+key, e.Addresses[0], e.Weight)
			},
			Delete:  func(key string) { del(t, writer, service+"/"+key) },
			Compact: func() { compact(t, writer) },
		}
	}}
}

func TestSourceKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := proxied(t, s.address())
	h := harness(connect(t, s.address()), connect(t, p.Addr()))
	discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
		b := h.New(t)
		b.Lose = func() { p.Refuse(true); p.Reset() }
		b.Restore = func() { p.Refuse(false) }
		return b
	}})
}

// TestSourceKeepsTheContractWhileConnectionsBreak breaks every connection of the readers again and again.
func TestSourceKeepsTheContractWhileConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := proxied(t, s.address())
	stop := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(50+rand.IntN(500)) * time.Millisecond):
			}
			if rand.IntN(2) == 0 {
				p.Reset()
			} else {
				p.End()
			}
		}
	})
	defer breaking.Wait()
	defer close(stop)
	discoverytest.Run(t, harness(connect(t, s.address()), connect(t, p.Addr())))
}
