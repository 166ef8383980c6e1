package main

import (
	"context"
	"net"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/etcd"
)

// server is one server of the service, registered for as long as it serves.
type server struct {
	inventoryv1.UnimplementedInventoryServiceServer
	address      string
	grpc         *grpc.Server
	registration *etcd.Registration
	serving      sync.WaitGroup
}

func startServer(ctx context.Context, client *clientv3.Client) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: l.Addr().String(), grpc: grpc.NewServer()}
	inventoryv1.RegisterInventoryServiceServer(s.grpc, s)
	s.serving.Go(func() { _ = s.grpc.Serve(l) }) // ends by stop
	s.registration, err = etcd.Register(ctx, client, service, discovery.Endpoint{Addresses: []string{s.address}}, ttl,
		etcd.WithLogger(nil)) // keeps the table in one piece
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop leaves the registry first, so that no new call comes, and then lets the running ones end. A second time it does nothing.
func (s *server) stop() {
	if s.registration != nil {
		_ = s.registration.Close()
	}
	s.grpc.GracefulStop()
	s.serving.Wait()
}

// GetItem answers with the server's address.
func (s *server) GetItem(_ context.Context, in *inventoryv1.GetItemRequest) (*inventoryv1.GetItemResponse, error) {
	return &inventoryv1.GetItemResponse{ItemId: in.GetItemId(), InStock: 7, Server: s.address}, nil
}
