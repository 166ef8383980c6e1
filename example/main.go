// Command example shows what a generated client does for a service whose servers misbehave.
//
// It starts five servers on loopback: two that are well, one that is slow, one that goes up and down, and one that is dead.
// The same calls then go through a plain grpc client, a plain one with grpc's round_robin, and the generated client, and a
// table compares them. It needs nothing but Go, and ends by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
)

const (
	phase = 5 * time.Second // of load on each client
	rate  = 200             // calls a second
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatalf("example: %v", err)
	}
}

func run(ctx context.Context) error {
	fmt.Println("Starting five servers on loopback: two well, one slow, one that goes up and down, one dead.")
	servers, err := startFleet(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	for _, s := range servers.list {
		fmt.Printf("  %-9s %s  %s\n", s.name, s.address, s.describe())
	}
	fmt.Printf("\nEach client now makes %d calls a second for %v. A call has 400 ms.\n", rate, phase)

	var results []result
	for i, c := range contenders(servers.addresses()) {
		fmt.Printf("%d/3 %-27s ", i+1, c.name)
		r, err := measure(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
	}
	fmt.Println()
	printTable(os.Stdout, servers.list, results)
	return nil
}

// contender is a client to be measured.
type contender struct {
	name string
	dial func() (getter, func() error, error)
}

// getter is what the plain and the generated client have in common.
type getter interface {
	GetItem(ctx context.Context, in *inventoryv1.GetItemRequest, opts ...grpc.CallOption) (*inventoryv1.GetItemResponse, error)
}

func contenders(addresses []string) []contender {
	return []contender{
		{"plain grpc", func() (getter, func() error, error) { return plain(addresses, "{}") }},
		{"plain grpc, round_robin", func() (getter, func() error, error) {
			return plain(addresses, `{"loadBalancingConfig":[{"round_robin":{}}]}`)
		}},
		{"goresilient", func() (getter, func() error, error) { return generated(addresses) }},
	}
}

// plain makes a client as protoc-gen-go-grpc has it; a resolver of grpc's own hands it the addresses.
func plain(addresses []string, serviceConfig string) (getter, func() error, error) {
	r := manual.NewBuilderWithScheme("example")
	var state resolver.State
	for _, a := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a})
	}
	r.InitialState(state)
	conn, err := grpc.NewClient("example:///inventory",
		grpc.WithResolvers(r),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig))
	if err != nil {
		return nil, nil, err
	}
	return inventoryv1.NewInventoryServiceClient(conn), conn.Close, nil
}

// generated makes the client that protoc-gen-goresilient wrote. Its policy stands in the proto: it waits for a first server
// before it returns, sends each call to the least loaded of three servers, and gives it 400 ms.
func generated(addresses []string) (getter, func() error, error) {
	client, err := inventoryv1.NewInventoryServiceResilientClient(
		goresilient.WithTarget("static:///"+strings.Join(addresses, ",")),
		goresilient.WithInsecure())
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}
