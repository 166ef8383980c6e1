// Package balancer is the load balancing policy that a resilient channel gives to grpc: one policy, registered under
// [Name], whose pickers are switched at run time while connections and what is known of each endpoint stay.
//
// A [Channel] outlives the balancers that grpc builds and destroys as the connection goes idle and comes back. It reaches
// them through the attributes of the resolver's state:
//
//	ch := balancer.NewChannel(balancer.Config{LoadBalancing: lb}, balancer.Options{})
//	state.Attributes = ch.Attach(state.Attributes) // in the resolver, on every update
//	…
//	for changed := ch.Changed(); ch.Status().Ready == 0; changed = ch.Changed() {
//		<-changed
//	}
//
// From the update of a resolver to the endpoint of a call there are four steps: the resolver's list is matched with the one
// before (match.go, listing.go), the subset of the priorities in use is connected to (selection.go, amend.go, balance.go),
// those of them that are eligible become the targets, in tiers by priority and zone (tiers.go), and a picker chooses among the
// targets (picker.go). pick_first and policies of other modules run as a child instead (child.go).
//
// Locks, in the order in which they are taken: calls.mu (one goroutine at a time calls into the policies of others), then
// the locks of those policies, then Channel.mu, then those of grpc. The path of a call takes none of them.
//
// The package is what the runtime is built on. A program needs it only to use the policy without a generated client, and its
// Go interface may change with any minor version; the policy's name and behaviour do not.
package balancer
