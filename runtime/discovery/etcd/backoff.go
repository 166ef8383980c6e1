package etcd

import (
	"math"
	"time"
)

// Pauses between two tries: exponential with jitter, in the form of gRPC's connection backoff
// (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md). They begin lower, since most losses are those of a
// member that restarts while another one serves, and end lower, since a registry that is back should be noticed soon.
//
// The formula is written out: this module and the one that the internal packages belong to are upgraded apart.
const (
	backoffInitial = 100 * time.Millisecond
	backoffMax     = 5 * time.Second
	backoffFactor  = 1.6
	backoffJitter  = 0.2 // of the pause, to either side
)

// backoff is the pause after the given number of failures in a row, which counts from 1. random is in [0, 1).
func backoff(failures int, random float64) time.Duration {
	pause := float64(backoffInitial) * math.Pow(backoffFactor, float64(failures-1))
	pause = min(pause, float64(backoffMax))
	return time.Duration(pause * (1 + backoffJitter*(2*random-1)))
}
