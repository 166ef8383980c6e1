package etcd

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
)

func TestTargets(t *testing.T) {
	b := New(connect(t, "127.0.0.1:1")).Builder()
	lookup := discovery.Lookup([]resolver.Builder{b})
	tests := []struct {
		target string
		want   []string // parts of the error; nil if there is none
	}{
		{"etcd:///inventory", nil},
		{"etcd:///prod/inventory", nil},
		{"etcd:///acme.inventory.v1.InventoryService", nil},
		{"etcd:///", []string{"is missing"}},
		{"etcd:inventory", []string{"lacks the slashes"}},
		{"etcd://etcd-1:2379/inventory", []string{"etcd-1:2379", "three slashes"}},
		{"etcd:///inventory/?a=b#c", []string{`"?a=b" is a query`, `"#c" is a fragment`, "ends with a slash"}},
		{"etcd:///a%0Ab", []string{"control character"}},
		{"etcd:///a%FF", []string{"not UTF-8"}},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			err := discovery.Validate(tt.target, lookup)
			if tt.want == nil && err != nil {
				t.Error(err)
			}
			for _, part := range tt.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want %q in it", err, part)
				}
			}
		})
	}
}

// TestChannel registers a server and calls it.
func TestChannel(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return nil }))
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	conn, err := grpc.NewClient("etcd:///shop/inventory", grpc.WithResolvers(New(client, impatient()...).Builder()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	me := discovery.Endpoint{Addresses: []string{listener.Addr().String()}}
	r, err := Register(within(t), client, "shop/inventory", me, ttl, impatient()...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stream, err := conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true}, "/shop.Inventory/Get", grpc.WaitForReady(true))
	if err == nil {
		err = stream.RecvMsg(nil)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the call ended with %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for s := connectivity.Ready; s == connectivity.Ready && conn.WaitForStateChange(within(t), s); s = conn.GetState() {
	}
	if s := conn.GetState(); s == connectivity.Ready {
		t.Errorf("the channel is %v without a server", s)
	}
}
