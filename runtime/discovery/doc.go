// Package discovery finds the endpoints of a target: sources with etcd's semantics, the grammar of endpoint lists,
// and the grpc resolvers over them.
package discovery
