// Package soak runs a generated client for a long time while servers come and go through etcd, and etcd itself restarts.
package soak
