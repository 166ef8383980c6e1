package etcd_test

import (
	"context"
	"log"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A server keeps itself registered, and a plain grpc channel follows the service.
func Example() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            []string{"127.0.0.1:2379"},
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	me := discovery.Endpoint{Addresses: []string{"10.0.0.7:443"}, Weight: 2, Zone: "eu-west-1a"}
	registration, err := etcd.Register(ctx, client, "inventory", me, 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer registration.Close()

	conn, err := grpc.NewClient("etcd:///inventory",
		grpc.WithResolvers(etcd.New(client).Builder()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
}
