// Package test holds the integration tests that need a real etcd. It is a module of its own, so that a user's module feels
// nothing of etcd's server.
package test
