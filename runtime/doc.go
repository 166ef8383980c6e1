// Package goresilient is the runtime beneath the clients that protoc-gen-goresilient generates. The folder is called
// runtime, the package goresilient; import it under that name:
//
//	import goresilient "github.com/goresilient/goresilient/runtime"
//
// A generated client is made with options and used like the plain one:
//
//	client, err := inventoryv1.NewInventoryServiceResilientClient(
//		goresilient.WithTarget("dns:///inventory:443"),
//		goresilient.WithTLS(&tls.Config{}),
//		goresilient.WithBlock(),
//	)
//	if err != nil {
//		return err // a *goresilient.DialError tells which endpoint failed, and why
//	}
//	defer client.Close()
//	item, err := client.GetItem(ctx, &inventoryv1.GetItemRequest{ItemId: "42"})
//
// Two objects stand beneath it. A [Channel] is a target with its discovery, connections and balancing; a [Client] is one
// service's call policy over a channel. A client makes a channel of its own unless [WithChannel] gives it one to share, or
// [WithConn] any other connection.
//
// Everything in this package may be used by many goroutines at once, unless its comment says otherwise.
package goresilient

// Version is the version of this module.
const Version = "0.1.0"

// SupportsGeneratedCodeV1 is referred to by generated code. Code generated for a newer major version of the runtime refers
// to a constant that is not here, so that it does not compile until the module is upgraded.
const SupportsGeneratedCodeV1 = true
