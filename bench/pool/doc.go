// Package pool measures what changes of the set of endpoints cost a balancer, beside grpc's round_robin.
package pool
