// Package sim is a discrete event simulation of load balancing, in virtual time and on one goroutine. Clients call servers that
// have workers and a queue, and that become slow, fail, hang, pause or restart. goresilient's balancer runs as it is, through its public
// interface and a fake of grpc's side; beside it stand the rules of other projects, and an oracle.
//
// docs/balancing shows what came out. In bench:
//
//	GOWORK=off go run ./sim/cmd                      # measures everything, and writes docs/balancing
//	GOWORK=off go run ./sim/cmd -only C,L -seeds 1   # prints some
//	GOWORK=off go test ./sim                         # holds what must not be lost
package sim
