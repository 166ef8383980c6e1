// Command etcd shows servers that register with etcd, a generated client that follows them, and policy that changes live by
// one key. It starts an etcd of its own, or uses a cluster that you name:
//
//	go run . -endpoints http://etcd-1:2379,http://etcd-2:2379
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery/etcd"
)

const (
	service   = "inventory"        // as servers register it
	policyKey = "policy/inventory" // where operators write
	ttl       = 5 * time.Second    // of a registration
	rpc       = "GetItem"          // whose policy changes
	schema    = "acme.inventory.v1.InventoryService"
)

func main() {
	log.SetFlags(0)
	endpoints := flag.String("endpoints", "", "URLs of an etcd cluster, separated by commas; default: an etcd of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *endpoints); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatalf("example: %v", err)
	}
}

func run(ctx context.Context, endpoints string) error {
	cluster, err := startCluster(endpoints)
	if err != nil {
		return err
	}
	defer cluster.remove()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: cluster.endpoints, Logger: quiet(), DialKeepAliveTime: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	fmt.Println("\nThree servers register under", service+"/ for", ttl, "at a time.")
	var fleet []*server
	for range 3 {
		s, err := startServer(ctx, client)
		if err != nil {
			return err
		}
		defer s.stop()
		fleet = append(fleet, s)
	}

	registry := etcd.New(client)
	overrides := goresilient.NewOverrides()
	watched := registry.WatchValue(policyKey)
	followed := make(chan error, 1)
	go func() { followed <- overrides.Follow(ctx, goresilient.ValueDocuments(policyKey, watched)) }()
	defer func() { watched.Close(); <-followed }()

	inventory, err := inventoryv1.NewInventoryServiceResilientClient(
		goresilient.WithTarget("etcd:///"+service),
		goresilient.WithResolvers(registry.Builder()),
		goresilient.WithOverrides(overrides),
		goresilient.WithInsecure())
	if err != nil {
		return err
	}
	defer func() { _ = inventory.Close() }()
	return tour(ctx, client, cluster, inventory, fleet)
}

// tour changes one thing after the other, and calls on.
func tour(ctx context.Context, client *clientv3.Client, cluster *cluster, inventory *inventoryv1.InventoryServiceResilientClient, fleet []*server) error {
	calls := func(what string) error { return report(ctx, inventory, what) }
	if err := calls("A client follows them"); err != nil {
		return err
	}

	fourth, err := startServer(ctx, client)
	if err != nil {
		return err
	}
	defer fourth.stop()
	if err := calls("A fourth server registers"); err != nil {
		return err
	}

	fleet[0].stop()
	if err := calls("The first one leaves"); err != nil {
		return err
	}

	document := fmt.Sprintf("version: goresilient.v1\nservices:\n  %s:\n    policy: {load_balancing: {round_robin: {}}}\n    methods: {%s: {timeout: {total: 250ms}}}\n", schema, rpc)
	if _, err := client.Put(ctx, policyKey, document); err != nil {
		return err
	}
	if err := calls("An operator writes " + policyKey); err != nil {
		return err
	}
	if _, err := client.Delete(ctx, policyKey); err != nil {
		return err
	}
	if err := calls("... and takes it back"); err != nil {
		return err
	}

	if !cluster.ours() {
		return nil
	}
	cluster.stop()
	if err := calls("etcd itself is stopped"); err != nil {
		return err
	}
	if err := cluster.start(); err != nil {
		return err
	}
	return calls("... and started again")
}

// settle is how long a change may take to be seen.
const settle = time.Second

// report gives a change the time to be seen, makes calls, and prints who answered under which policy.
func report(ctx context.Context, inventory *inventoryv1.InventoryServiceResilientClient, what string) error {
	fmt.Printf("%-38s", what)
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return ctx.Err()
	}
	answered := make(map[string]int)
	failed := 0
	const n = 300
	for range n {
		item, err := inventory.GetItem(ctx, &inventoryv1.GetItemRequest{ItemId: "42"})
		if err != nil {
			failed++
			continue
		}
		answered[item.GetServer()]++
	}
	s := inventory.Snapshot()
	fmt.Printf("%d calls, %d failed, %d servers answered; %s, %v each\n",
		n, failed, len(answered), s.Policy.LoadBalancing.Arm(), s.Methods[0].Timeout)
	return nil
}
