package soak

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/etcd"
	"github.com/goresilient/goresilient/runtime/policy"
)

var duration = flag.Duration("soak", 5*time.Second, "how long to call; make soak gives it ten minutes")

const (
	visitors = 4                // servers that come and go beside the one that stays
	callers  = 8                // goroutines that call without a pause
	patience = 20 * time.Second // of a call; none should need it
	listed   = 20               // failures that are written out; the rest are counted
)

// TestSoak counts calls and failures, and reports both. One server is always there, so that no call may fail.
func TestSoak(t *testing.T) {
	registry := startRegistry(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{registry.client.String()}, Logger: zap.NewNop(), DialKeepAliveTime: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()

	stays := startVisitor(t, client)
	defer stays.leave()
	var changing sync.WaitGroup
	defer changing.Wait()
	var visits, restarts, calls, failures atomic.Int64
	for range visitors {
		changing.Go(func() {
			for pause(ctx, time.Second) {
				v := startVisitor(t, client)
				pause(ctx, 3*time.Second)
				v.leave()
				visits.Add(1)
			}
		})
	}
	changing.Go(func() {
		for pause(ctx, 10*time.Second) {
			registry.stop()
			pause(ctx, 3*time.Second)
			registry.start(t)
			restarts.Add(1)
		}
	})

	channel, err := goresilient.NewChannel(goresilient.WithTarget("etcd:///soak"), goresilient.WithInsecure(), goresilient.WithoutProxy(),
		goresilient.WithoutEnvironment(), goresilient.WithResolvers(etcd.New(client, etcd.WithLogger(nil)).Builder()), goresilient.WithBlock(),
		goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = channel.Close() }()
	caller, err := goresilient.NewClient(&goresilient.ServiceDesc{Name: "grpc.testing.TestService", Methods: []goresilient.MethodDesc{{Name: "EmptyCall"}}},
		goresilient.WithChannel(channel), goresilient.WithoutEnvironment(),
		goresilient.WithPolicy(&policy.Service{MethodDefaults: &policy.Method{
			WaitForReady: policy.Set(true), Timeout: &policy.Timeout{Total: policy.Set(patience)},
		}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caller.Close() }()
	call := goresilient.NewUnaryMethod[grpc_testing.Empty, grpc_testing.Empty](caller, "EmptyCall")
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for ctx.Err() == nil {
				calls.Add(1)
				if _, err := call.Call(context.Background(), &grpc_testing.Empty{}); err != nil {
					if failures.Add(1) <= listed {
						t.Errorf("a call failed: %v", err)
					}
				}
			}
		})
	}
	calling.Wait()
	changing.Wait()
	t.Logf("%v: %d calls, %d failed; %d servers came and went, etcd was restarted %d times",
		*duration, calls.Load(), failures.Load(), visits.Load(), restarts.Load())
	if calls.Load() == 0 || visits.Load() == 0 {
		t.Error("nothing was tried; give -soak more time")
	}
}

// pause waits for up to d, at random, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d/4 + rand.N(3*d/4)):
		return true
	case <-ctx.Done():
		return false
	}
}

// visitor is a server that registers for as long as it serves.
type visitor struct {
	grpc_testing.UnimplementedTestServiceServer
	server       *grpc.Server
	registration *etcd.Registration
	serving      sync.WaitGroup
}

func startVisitor(t *testing.T, client *clientv3.Client) *visitor {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return new(visitor)
	}
	v := &visitor{server: grpc.NewServer()}
	grpc_testing.RegisterTestServiceServer(v.server, v)
	v.serving.Go(func() { _ = v.server.Serve(l) })
	v.registration, err = etcd.Register(context.Background(), client, "soak", discovery.Endpoint{Addresses: []string{l.Addr().String()}},
		5*time.Second, etcd.WithLogger(nil), etcd.WithoutWait())
	if err != nil {
		t.Error(err)
	}
	return v
}

// leave deregisters and serves on until the running calls have ended.
func (v *visitor) leave() {
	if v.registration != nil {
		_ = v.registration.Close() // etcd may be down; the lease runs out then
	}
	if v.server != nil {
		v.server.GracefulStop()
	}
	v.serving.Wait()
}

// EmptyCall answers.
func (v *visitor) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, nil
}

// registry is an embedded etcd that is stopped and started over the same data.
type registry struct {
	dir          string
	client, peer url.URL
	member       *embed.Etcd
}

func startRegistry(t *testing.T) *registry {
	r := &registry{dir: t.TempDir(), client: loopback(t), peer: loopback(t)}
	r.start(t)
	t.Cleanup(r.stop)
	return r
}

func (r *registry) start(t *testing.T) {
	c := embed.NewConfig()
	c.Dir = r.dir
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{r.client}, []url.URL{r.client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{r.peer}, []url.URL{r.peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	member, err := embed.StartEtcd(c)
	if err != nil {
		t.Errorf("etcd: %v", err)
		return
	}
	<-member.Server.ReadyNotify()
	r.member = member
}

func (r *registry) stop() {
	if r.member != nil {
		r.member.Close()
		r.member = nil
	}
}

// loopback returns a URL at which nothing listens.
func loopback(t *testing.T) url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}
