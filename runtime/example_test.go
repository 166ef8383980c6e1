package goresilient_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// unavailable is a connection that a test might use: every call fails.
type unavailable struct{ grpc.ClientConnInterface }

func (unavailable) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.Unavailable, "the warehouse is closed")
}

// A fallback answers in place of a call that failed; the options struct is generated, with a field for each RPC.
func Example_fallback() {
	var opts inventoryv1.InventoryServiceResilientOptions
	opts.GetItem.Fallback = func(_ context.Context, in *inventoryv1.GetItemRequest, err error) (*inventoryv1.GetItemResponse, error) {
		fmt.Println("falling back:", status.Code(err))
		return &inventoryv1.GetItemResponse{ItemId: in.GetItemId(), InStock: -1}, nil
	}
	client, err := inventoryv1.NewInventoryServiceResilientClient(opts, goresilient.WithConn(unavailable{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	item, err := client.GetItem(context.Background(), &inventoryv1.GetItemRequest{ItemId: "42"})
	fmt.Println(item.GetInStock(), err)
	// Output:
	// falling back: Unavailable
	// -1 <nil>
}

// A constructor that blocks tells what became of each endpoint.
func Example_dialError() {
	_, err := inventoryv1.NewInventoryServiceResilientClient(
		goresilient.WithTarget("static:///127.0.0.1:1"),
		goresilient.WithInsecure(),
		goresilient.WithPolicy(&policy.Service{Dial: &policy.Dial{
			Block: policy.Set(true), Timeout: policy.Set(time.Minute), RefusedIsPermanent: policy.Set(true),
		}}),
	)
	var dial *goresilient.DialError
	if errors.As(err, &dial) {
		fmt.Printf("%d of %d ready: %v\n", dial.Ready, dial.Wanted, dial.Err)
		fmt.Println("refused:", errors.Is(dial.Endpoints[0].Err, syscall.ECONNREFUSED))
	}
	// Output:
	// 0 of 1 ready: waiting longer would not help
	// refused: true
}

// Every value of the policy in force knows where it was written.
func ExampleClient_Snapshot() {
	client, err := inventoryv1.NewInventoryServiceResilientClient(
		goresilient.WithConn(unavailable{}),
		goresilient.WithPolicy(&policy.Service{MethodDefaults: &policy.Method{MaxRequestBytes: policy.Set(1 << 20)}}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	getItem := client.Snapshot().Methods[0]
	fmt.Println(getItem.Name, getItem.Timeout, "from", getItem.Origins["timeout.total"])
	fmt.Println(*getItem.Policy.MaxRequestBytes, "from", getItem.Origins["max_request_bytes"])
	// Output:
	// GetItem 400ms from method, acme/inventory/v1/inventory.proto:32
	// 1048576 from Go option, WithPolicy
}
