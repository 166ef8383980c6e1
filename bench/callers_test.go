package bench_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	"github.com/goresilient/goresilient/bench/internal/network"
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
func caller[Req, Res any](ctx context.Context, name string, client getter[Req, Res], in *Req) contest.Contender {
	return contest.Contender{Name: name, Call: func() error {
		_, err := client.GetItem(ctx, in)
		return err
	}}
}

// callerByHand is a contender that does on each call what policy would do for it.
func callerByHand[Req, Res any](ctx context.Context, name string, client getter[Req, Res], in *Req, opts ...grpc.CallOption) contest.Contender {
	return contest.Contender{Name: name, Call: func() error {
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

func newNetwork(tb testing.TB) *network.Network {
	return network.Memory(tb, func(s *grpc.Server) {
		plainv1.RegisterPlainServiceServer(s, plainServer{})
		inventoryv1.RegisterInventoryServiceServer(s, inventoryServer{})
	})
}

// resilient is the option that gives a client of ours a connection to n.
func resilient(n *network.Network) goresilient.Option {
	return options{
		goresilient.WithTarget(network.Target), goresilient.WithInsecure(), goresilient.WithDialer(n.Dial), goresilient.WithoutEnvironment(),
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
	// What the peer does not do either.
	var alike inventoryv1.InventoryServiceResilientOptions
	alike.GetItem.Policy = &policy.Method{
		Retry:   &policy.Retry{Disabled: policy.Set(true)},
		Hedging: &policy.Hedging{Disabled: policy.Set(true)},
	}
	client, err := inventoryv1.NewInventoryServiceResilientClient(append(opts, alike)...)
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
