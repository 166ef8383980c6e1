package generator_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/goresilient/goresilient/internal/generator"
	inventoryv1 "github.com/goresilient/goresilient/internal/generator/golden/inventory"
	"github.com/goresilient/goresilient/internal/generator/golden/names"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVersionIsThatOfTheRuntime(t *testing.T) {
	if want := "v" + goresilient.Version; generator.Version != want {
		t.Errorf("the plugin is %s, the runtime %s", generator.Version, want)
	}
}

// inventory has one item.
type inventory struct {
	inventoryv1.UnimplementedInventoryServiceServer
}

func (inventory) GetItem(_ context.Context, in *inventoryv1.GetItemRequest) (*inventoryv1.Item, error) {
	if in.ItemId == "" {
		return nil, status.Error(codes.NotFound, "no such item")
	}
	return &inventoryv1.Item{ItemId: in.ItemId}, nil
}

func (inventory) WatchItems(in *inventoryv1.GetItemRequest, s inventoryv1.InventoryService_WatchItemsServer) error {
	return s.Send(&inventoryv1.Item{ItemId: in.ItemId})
}

func (inventory) Sync(s inventoryv1.InventoryService_SyncServer) error {
	item, err := s.Recv()
	if err != nil {
		return err
	}
	return s.Send(item)
}

// connect serves register in memory and returns a connection to it.
func connect(t *testing.T, register func(*grpc.Server)) grpc.ClientConnInterface {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:///memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		<-done
	})
	return conn
}

func TestGeneratedClientCalls(t *testing.T) {
	conn := connect(t, func(s *grpc.Server) { inventoryv1.RegisterInventoryServiceServer(s, inventory{}) })
	var opts inventoryv1.InventoryServiceResilientOptions
	opts.GetItem.Fallback = func(context.Context, *inventoryv1.GetItemRequest, error) (*inventoryv1.Item, error) {
		return &inventoryv1.Item{ItemId: "fallback"}, nil
	}
	opts.WatchItems.Policy = &policy.Method{WaitForReady: policy.Set(true)}
	client, err := inventoryv1.NewInventoryServiceResilientClient(opts, goresilient.WithConn(conn), goresilient.WithoutEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	for id, want := range map[string]string{"42": "42", "": "fallback"} {
		item, err := client.GetItem(ctx, &inventoryv1.GetItemRequest{ItemId: id})
		if err != nil || item.ItemId != want {
			t.Errorf("GetItem(%q) = %v, %v; want %q", id, item, err, want)
		}
	}
	watch, err := client.WatchItems(ctx, &inventoryv1.GetItemRequest{ItemId: "7"})
	if err != nil {
		t.Fatal(err)
	}
	if item, err := watch.Recv(); err != nil || item.ItemId != "7" {
		t.Errorf("WatchItems gives %v, %v", item, err)
	}
	sync, err := client.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := sync.Send(&inventoryv1.Item{ItemId: "8"}); err != nil {
		t.Error(err)
	}
	if item, err := sync.Recv(); err != nil || item.ItemId != "8" {
		t.Errorf("Sync gives %v, %v", item, err)
	}
	if _, err := sync.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("Sync ends with %v", err)
	}
}

// namesServer answers two of the RPCs that bear names of the runtime.
type namesServer struct {
	names.UnimplementedNamesServer
}

func (namesServer) Close(context.Context, *names.M) (*names.M, error)  { return &names.M{}, nil }
func (namesServer) Client(context.Context, *names.M) (*names.M, error) { return &names.M{}, nil }

// TestRuntimeStaysReachable: an RPC that is called Close wins, and the runtime's own Close is still there.
func TestRuntimeStaysReachable(t *testing.T) {
	conn := connect(t, func(s *grpc.Server) { names.RegisterNamesServer(s, namesServer{}) })
	client, err := names.NewNamesResilientClient(goresilient.WithConn(conn), goresilient.WithoutEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Close(t.Context(), &names.M{}); err != nil {
		t.Errorf("the RPC Close gives %v", err)
	}
	if _, err := client.Client(t.Context(), &names.M{}); err != nil {
		t.Errorf("the RPC Client gives %v", err)
	}
	if err := client.NamesResilientRuntime_.Close(); err != nil {
		t.Errorf("the runtime's Close gives %v", err)
	}
	if _, err := client.Close(t.Context(), &names.M{}); status.Code(err) == codes.OK {
		t.Error("a call on a closed client succeeds")
	}
}
