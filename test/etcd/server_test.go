package etcd_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// server is a real etcd of one member. It may be stopped and started again; its data and its ports stay.
type server struct {
	dir                 string
	forClients, forPeer url.URL
	etcd                *embed.Etcd  // nil while stopped
	grpc                *grpc.Server // the one within etcd
	draining            sync.WaitGroup
}

// startServer starts an etcd that runs until the test ends.
func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), forClients: loopback(t), forPeer: loopback(t)}
	s.start(t)
	t.Cleanup(s.crash)
	return s
}

// target is where it serves.
func (s *server) target() string { return "static:///" + s.forClients.Host }

func (s *server) config() *embed.Config {
	c := embed.NewConfig()
	c.Dir = s.dir
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{s.forClients}, []url.URL{s.forClients}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{s.forPeer}, []url.URL{s.forPeer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs = 10, 100
	c.EnableGRPCGateway = false
	// The process lives through every stop, and with it what the system has not yet written to the disk.
	c.UnsafeNoFsync = true
	c.LogLevel = "panic"
	return c
}

// start returns when etcd serves.
func (s *server) start(t *testing.T) {
	t.Helper()
	c := s.config()
	registered := make(chan *grpc.Server, 1)
	c.ServiceRegister = func(g *grpc.Server) { registered <- g }
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	s.etcd = etcd
	select {
	case s.grpc = <-registered: // after etcd has found its data, and itself as leader
	case err := <-etcd.Err():
		t.Fatalf("start etcd: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("start etcd: it is not ready after a minute")
	}
}

// drain makes etcd take no new calls and no new connections. Calls under way go on, watches among them; crash ends those.
func (s *server) drain() { s.draining.Go(s.grpc.GracefulStop) }

// crash ends etcd in the midst of its calls. It does nothing to an etcd that is stopped.
func (s *server) crash() {
	if s.etcd == nil {
		return
	}
	s.grpc.Stop()
	s.draining.Wait()
	s.etcd.Close()
	s.etcd = nil
}

// loopback returns an address that nobody listens at. Nobody is given its port while etcd is stopped, either: it lies below
// those that systems choose from, which begin at 32768.
func loopback(t *testing.T) url.URL {
	t.Helper()
	for range 100 {
		host := fmt.Sprintf("127.0.0.1:%d", 16384+rand.N(16384))
		if l, err := net.Listen("tcp", host); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return url.URL{Scheme: "http", Host: host}
		}
	}
	t.Fatal("no port is free")
	return url.URL{}
}
