package bench_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// total is the deadline that the example's schema gives GetItem.
const total = 400 * time.Millisecond

// getter is a client, ours or the plain one, of either service.
type getter[Req, Res any] interface {
	GetItem(context.Context, *Req, ...grpc.CallOption) (*Res, error)
}

// caller is a contender that calls GetItem under ctx.
func caller[Req, Res any](ctx context.Context, name string, client getter[Req, Res], in *Req) contender {
	return contender{name, func() error {
		_, err := client.GetItem(ctx, in)
		return err
	}}
}

// callerByHand is a contender that does on each call what policy would do for it.
func callerByHand[Req, Res any](ctx context.Context, name string, client getter[Req, Res], in *Req, opts ...grpc.CallOption) contender {
	return contender{name, func() error {
		ctx, cancel := context.WithTimeout(ctx, total)
		defer cancel()
		_, err := client.GetItem(ctx, in, opts...)
		return err
	}}
}

func plainRequest() *plainv1.GetItemRequest         { return &plainv1.GetItemRequest{ItemId: "42"} }
func inventoryRequest() *inventoryv1.GetItemRequest { return &inventoryv1.GetItemRequest{ItemId: "42"} }

type plainServer struct {
	plainv1.UnimplementedPlainServiceServer
}

func (plainServer) GetItem(_ context.Context, in *plainv1.GetItemRequest) (*plainv1.GetItemResponse, error) {
	return &plainv1.GetItemResponse{ItemId: in.GetItemId(), InStock: 7, Server: "memory"}, nil
}

type inventoryServer struct {
	inventoryv1.UnimplementedInventoryServiceServer
}

func (inventoryServer) GetItem(_ context.Context, in *inventoryv1.GetItemRequest) (*inventoryv1.GetItemResponse, error) {
	return &inventoryv1.GetItemResponse{ItemId: in.GetItemId(), InStock: 7, Server: "memory"}, nil
}

// network is one server of both services in memory. Each client has a connection of its own to it.
type network struct{ listener *bufconn.Listener }

// memoryTarget leaves discovery out: it is one address.
const memoryTarget = "passthrough:///memory"

func newNetwork(tb testing.TB) *network {
	n := &network{bufconn.Listen(1 << 20)}
	server := grpc.NewServer()
	plainv1.RegisterPlainServiceServer(server, plainServer{})
	inventoryv1.RegisterInventoryServiceServer(server, inventoryServer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(n.listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return n
}

func (n *network) dial(ctx context.Context, _ string) (net.Conn, error) {
	return n.listener.DialContext(ctx)
}

// plain returns a connection as grpc makes it by itself.
func (n *network) plain(tb testing.TB) *grpc.ClientConn {
	conn, err := grpc.NewClient(memoryTarget, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(n.dial))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeOrFail(tb, conn.Close) })
	return conn
}

// resilient is the option that gives a client of ours the same connection.
func (n *network) resilient() goresilient.Option {
	return options{
		goresilient.WithTarget(memoryTarget), goresilient.WithInsecure(), goresilient.WithDialer(n.dial), goresilient.WithoutEnvironment(),
	}
}

// options are several options as one.
type options []goresilient.Option

// ApplyTo implements [goresilient.Option].
func (all options) ApplyTo(s *goresilient.Settings) {
	for _, o := range all {
		o.ApplyTo(s)
	}
}

func newPlain(tb testing.TB, opts ...goresilient.Option) *plainv1.PlainServiceResilientClient {
	client, err := plainv1.NewPlainServiceResilientClient(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeOrFail(tb, client.Close) })
	return client
}

func newInventory(tb testing.TB, opts ...goresilient.Option) *inventoryv1.InventoryServiceResilientClient {
	client, err := inventoryv1.NewInventoryServiceResilientClient(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeOrFail(tb, client.Close) })
	return client
}

// deadlinePolicy gives the plain service's GetItem a deadline.
func deadlinePolicy() goresilient.Option {
	var opts plainv1.PlainServiceResilientOptions
	opts.GetItem.Policy = &policy.Method{Timeout: &policy.Timeout{Total: policy.Set(total)}}
	return opts
}

func closeOrFail(tb testing.TB, f func() error) {
	if err := f(); err != nil {
		tb.Error(err)
	}
}
