package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/goresilient/goresilient/runtime/discovery/etcd/internal/faultproxy"
)

// patience ends a test that waits for something that does not come. No test measures it.
const patience = 20 * time.Second

// server is a member of a real etcd. It may be stopped and started again; its ports stay.
type server struct {
	t                   *testing.T
	name, dir, cluster  string
	forClients, forPeer url.URL
	etcd                *embed.Etcd // nil while stopped
}

// newServer returns a server that is not started yet, and stops it when the test ends.
func newServer(t *testing.T, name string) *server {
	t.Helper()
	s := &server{t: t, name: name, dir: t.TempDir(), forClients: loopback(t), forPeer: loopback(t)}
	s.cluster = name + "=" + s.forPeer.String()
	t.Cleanup(s.stop)
	return s
}

func startServer(t *testing.T) *server {
	t.Helper()
	s := newServer(t, "one")
	s.start()
	return s
}

// startCluster starts three members.
func startCluster(t *testing.T) []*server {
	t.Helper()
	var members []*server
	var cluster []string
	for _, name := range []string{"one", "two", "three"} {
		members = append(members, newServer(t, name))
		cluster = append(cluster, members[len(members)-1].cluster)
	}
	for _, s := range members {
		s.cluster = strings.Join(cluster, ",")
		s.launch()
	}
	for _, s := range members {
		s.await()
	}
	return members
}

func (s *server) address() string { return s.forClients.Host }

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.await()
}

func (s *server) launch() {
	s.t.Helper()
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster = s.name, s.dir, s.cluster
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{s.forClients}, []url.URL{s.forClients}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{s.forPeer}, []url.URL{s.forPeer}
	c.TickMs, c.ElectionMs = 20, 200
	c.EnableGRPCGateway = false
	// The process lives through every stop, and with it what the system has not yet written to the disk.
	c.UnsafeNoFsync = true
	c.LogLevel = "panic"
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		s.t.Fatalf("start etcd: %v", err)
	}
	s.etcd = etcd
}

func (s *server) await() {
	s.t.Helper()
	select {
	case <-s.etcd.Server.ReadyNotify():
	case err := <-s.etcd.Err():
		s.t.Fatalf("start etcd: %v", err)
	case <-time.After(time.Minute):
		s.t.Fatal("start etcd: it is not ready after a minute")
	}
}

// stop ends etcd, its calls included.
func (s *server) stop() {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
}

// wipe makes the next start that of a new registry, at the same place.
func (s *server) wipe() {
	s.t.Helper()
	s.stop()
	s.dir = s.t.TempDir()
}

// ports are those that tests of this process were given.
var ports sync.Map

// loopback returns an address that nobody listens at. Nobody is given its port while etcd is stopped, either: it lies below
// those that systems choose from, which begin at 32768.
func loopback(t *testing.T) url.URL {
	t.Helper()
	for range 100 {
		host := fmt.Sprintf("127.0.0.1:%d", 16384+rand.N(16384))
		if _, taken := ports.LoadOrStore(host, true); taken {
			continue
		}
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

// connect returns a client that is closed when the test ends.
func connect(t *testing.T, addresses ...string) *clientv3.Client {
	t.Helper()
	return connectWith(t, clientv3.Config{Endpoints: addresses})
}

func connectWith(t *testing.T, c clientv3.Config) *clientv3.Client {
	t.Helper()
	c.Logger = zap.NewNop()
	client, err := clientv3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// proxied starts a proxy in front of address.
func proxied(t *testing.T, address string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// within is the context of one step of a test.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// impatient shortens what tests would have to wait for.
func impatient(opts ...Option) []Option {
	return append([]Option{WithLogger(nil), WithTimeout(time.Second), WithSilenceLimit(400 * time.Millisecond)}, opts...)
}

// put writes an endpoint without a lease.
func put(t *testing.T, client *clientv3.Client, key, address string, weight uint32) {
	t.Helper()
	value, err := encodeEndpoint(endpointAt(address, weight))
	if err == nil {
		_, err = client.Put(within(t), key, string(value))
	}
	if err != nil {
		t.Errorf("put %q: %v", key, err)
	}
}

func del(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	if _, err := client.Delete(within(t), key); err != nil {
		t.Errorf("delete %q: %v", key, err)
	}
}

// compact forgets all of etcd's history.
func compact(t *testing.T, client *clientv3.Client) {
	t.Helper()
	now, err := client.Get(within(t), "nothing")
	if err == nil {
		_, err = client.Compact(within(t), now.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("compact: %v", err)
	}
}
