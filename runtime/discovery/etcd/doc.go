// Package etcd finds the endpoints of services in etcd v3, and keeps servers registered there. It is a module of its own:
// a program that does not import it has nothing of etcd in its build.
//
// A server registers itself, and stays registered through restarts, partitions and losses of etcd:
//
//	client, err := clientv3.New(clientv3.Config{
//		Endpoints:            []string{"https://etcd-1:2379", "https://etcd-2:2379", "https://etcd-3:2379"},
//		TLS:                  tlsConfig,
//		DialKeepAliveTime:    10 * time.Second, // finds connections that are dead without having been closed
//		DialKeepAliveTimeout: 5 * time.Second,
//	})
//	…
//	me := discovery.Endpoint{Addresses: []string{"10.0.0.7:443"}, Weight: 2, Zone: "eu-west-1a"}
//	registration, err := etcd.Register(ctx, client, "inventory", me, 10*time.Second)
//	…
//	defer registration.Close()
//
// A client follows the service:
//
//	inventory, err := inventoryv1.NewInventoryServiceResilientClient(
//		goresilient.WithTarget("etcd:///inventory"),
//		goresilient.WithResolvers(etcd.New(client).Builder()), …)
//
// # Keys and values
//
// They are those of go.etcd.io/etcd/client/v3/naming/endpoints, so that its Manager and its resolver read what [Register]
// writes, and sources read what the Manager writes. The key is the service, a slash, and the address; the value is JSON:
//
//	inventory/10.0.0.7:443   {"Op":0,"Addr":"10.0.0.7:443","Metadata":{"weight":2,"zone":"eu-west-1a"}}
//
// Metadata is null or an object, in which these fields have a meaning:
//
//	weight      1 to 1000000; 1 if it is left out
//	zone        a name
//	priority    0, the best and the default, to 127
//	alternates  further addresses of the same server, in order of preference
//	metadata    an object of strings: [discovery.Endpoint.Metadata]
//
// Other fields are added to the endpoint's metadata under their own names, and Metadata that is no object under the name
// "metadata"; what is no string is kept as JSON. The Manager passes all of it on as it is. Every key below "inventory/" is
// one of the service, as with the Manager: a service "inventory/eu" would be a part of "inventory".
//
// A value that cannot be read takes nothing else down. It is logged and reported as an [*UnreadableError] in
// [discovery.Event.Stale] for as long as it is there; if the key had a readable value before, that one stays in use.
//
// # What a watch guarantees
//
// A watch reads the keys at one revision, in pages, by linearizable reads, and follows the changes from the next revision
// on. Nothing is missed and nothing is seen twice. When its stream breaks, it goes on where it stood, after it has made
// sure that etcd still has the history that it knows; otherwise, after a compaction or when another registry has taken
// the place of the old, it begins anew with a Reset.
//
// While etcd cannot be reached, has no leader, or refuses the credentials, the last good set stays in use and is marked as
// stale, with the reason; the watch tries again for ever, after pauses of 0.1 s that grow to 5 s. A watcher that has no set
// yet accepts one from a member that has lost its leader, and marks it as stale. A watch that hears nothing is asked for a
// sign of life, and replaced if it gives none; see [WithSilenceLimit].
//
// Event.Revision is etcd's. When a registry is replaced by one whose revision is lower, a constant is added from then on,
// so that it never goes back.
//
// # Requirements
//
// etcd 3.4 or later. Where it asks for credentials, a source needs the permission to read all keys of its service, and a
// registration to read and write its own. The connection of the client is used as it is: fields of clientv3.Client that
// were wrapped, as package namespace does it, are passed by; [WithPrefix] is there instead. Close watchers and
// registrations before the client.
package etcd
