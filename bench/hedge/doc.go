// Package hedge measures what hedging does to the tail of latency, and what it costs in extra attempts: the client's own call
// path and balancer over servers that stall, are slow, or become slow, in virtual time, without a network and over one of gRPC in
// memory, and over connections of the machine.
//
//	GOWORK=off go test ./hedge                                               # the gates: half a minute
//	GOWORK=off go test ./hedge -page ../../docs/hedging.md -timeout 30m      # the tables of that page: nine minutes
package hedge
