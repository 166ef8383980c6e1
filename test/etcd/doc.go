// Package etcd holds clients generated for etcd's own API, and the tests that drive them against a real etcd. The API is
// somebody else's and carries no annotations: the clients' policy stands in policy.yaml, and they are generated beside
// the stubs that etcd publishes, in a package of their own.
package etcd

//go:generate go run ./generate
