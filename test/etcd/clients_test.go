package etcd_test

import (
	"context"
	"errors"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/connectivity"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/test/etcd/etcdserverpb/etcdserverpbresilient"
)

// newChannel makes a channel to s that is closed with the test.
func newChannel(t *testing.T, s *server) *goresilient.Channel {
	t.Helper()
	ch, err := goresilient.NewChannel(
		goresilient.WithTarget(s.target()),
		goresilient.WithInsecure(),
		goresilient.WithoutProxy(),
		goresilient.WithoutEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, ch) })
	return ch
}

// newClient makes a client over ch that is closed with the test, by its generated constructor.
func newClient[C io.Closer](t *testing.T, ch *goresilient.Channel, construct func(...goresilient.Option) (C, error)) C {
	t.Helper()
	c, err := construct(goresilient.WithChannel(ch), goresilient.WithoutEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, c) })
	return c
}

func closed(t *testing.T, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestClientsShareOneConnection: the clients of all services of etcd make their calls over a connection that was made once.
func TestClientsShareOneConnection(t *testing.T) {
	s := startServer(t)
	ch := newChannel(t, s)
	kv := newClient(t, ch, etcdserverpbresilient.NewKVResilientClient)
	watch := newClient(t, ch, etcdserverpbresilient.NewWatchResilientClient)
	lease := newClient(t, ch, etcdserverpbresilient.NewLeaseResilientClient)
	cluster := newClient(t, ch, etcdserverpbresilient.NewClusterResilientClient)
	maintenance := newClient(t, ch, etcdserverpbresilient.NewMaintenanceResilientClient)
	auth := newClient(t, ch, etcdserverpbresilient.NewAuthResilientClient)

	for name, call := range map[string]func(context.Context) error{
		"KV/Put": func(ctx context.Context) error {
			_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("a"), Value: []byte("b")})
			return err
		},
		"Watch/Watch": func(ctx context.Context) error {
			stream, err := watch.Watch(ctx)
			if err != nil {
				return err
			}
			if err := stream.Send(createWatch("a", "b", 1)); err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
		"Lease/LeaseLeases": func(ctx context.Context) error {
			_, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
			return err
		},
		"Cluster/MemberList": func(ctx context.Context) error {
			_, err := cluster.MemberList(ctx, &pb.MemberListRequest{})
			return err
		},
		"Maintenance/Snapshot": func(ctx context.Context) error {
			stream, err := maintenance.Snapshot(ctx, &pb.SnapshotRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
		"Auth/AuthStatus": func(ctx context.Context) error {
			_, err := auth.AuthStatus(ctx, &pb.AuthStatusRequest{})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := call(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	// Maintenance has an RPC named Snapshot, which hides the runtime's; the embedded client has that.
	for _, c := range []*goresilient.Client{
		kv.Client, watch.Client, lease.Client, cluster.Client, maintenance.Client, auth.Client,
	} {
		got := c.Snapshot()
		if len(got.Endpoints) != 1 || got.Endpoints[0].Attempts != 1 || got.Endpoints[0].State != connectivity.Ready {
			t.Errorf("%s has the endpoints %+v, want one that is ready after one attempt to connect", got.Service, got.Endpoints)
		}
	}
}
