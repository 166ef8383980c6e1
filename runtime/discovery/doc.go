// Package discovery finds the endpoints of a target: sources with etcd's semantics, the grammar of endpoint lists,
// and the grpc resolvers over them.
//
// A generated client needs nothing of it but a target:
//
//	client, err := inventoryv1.NewInventoryServiceResilientClient(opts,
//		goresilient.WithTarget("static:///10.0.0.1:443,10.0.0.2:443;weight=2;zone=eu-west-1a"))
//
// Or the target stands in the environment, as a list or as another target, and is read again when connections are
// lost:
//
//	goresilient.WithTarget("env:///INVENTORY_TARGET?default=localhost:50051")
//
// Or it is a file that is watched, a name that is looked up again and again, or a [Registry] of this process:
//
//	goresilient.WithTarget("file:///etc/inventory/endpoints.yaml")
//	goresilient.WithTarget("dnspoll:///inventory.example:443?every=15s")
//	goresilient.WithTarget("memory:///inventory"), goresilient.WithResolvers(discovery.NewMemoryBuilder(registry))
//
// The same resolvers serve a plain grpc channel:
//
//	conn, err := grpc.NewClient("static:///10.0.0.1:443,10.0.0.2:443",
//		grpc.WithResolvers(discovery.NewStaticBuilder()), grpc.WithTransportCredentials(creds))
//
// A registry of your own becomes a [Source], and [NewBuilder] makes a resolver of it; package discoverytest checks
// that it keeps the contract:
//
//	grpc.WithResolvers(discovery.NewBuilder("consul", func(t discovery.Target) (discovery.Source, error) {
//		return consulSource{service: t.Endpoint()}, nil
//	}))
//
// Several targets, a primary and its backups, are one with [NewTargets], which goresilient.WithTargets uses.
//
// Each state that these resolvers push carries its endpoints once more as a [Set], with weights, zones and
// priorities; [SetOf] returns it. A [StateGuard] keeps what a resolver removed too fast. A mistake in a target is a
// [*ConfigError], which says what to write instead.
package discovery
