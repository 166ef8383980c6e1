package hedge_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

// The servers of "The Tail at Scale": most answers take some milliseconds, one in fifty more than 10 ms, and a server stalls for
// half a second about every quarter of an hour.
const (
	keyServers = 100
	keyMedian  = 2200 * time.Microsecond
	keySigma   = 0.75
	keyDelay   = 10 * time.Millisecond
	stallEvery = 1000 * time.Second
	stallMean  = 500 * time.Millisecond
	batchEvery = time.Second
)

// stalling returns servers that stall as the stalls tell, and work for scale times as long as those of the paper.
func stalling(stalled []stalls, scale int) servers {
	work := lognormal(time.Duration(scale)*keyMedian, keySigma)
	return servers{count: len(stalled), work: func(i int, at time.Duration, draw *rand.Rand) time.Duration {
		return stalled[i].wait(at) + work(draw)
	}}
}

// stallsOf draws the stalls of n servers.
func stallsOf(n int, end, every, mean time.Duration, seed uint64) []stalls {
	out := make([]stalls, n)
	for i := range out {
		out[i] = newStalls(rand.New(rand.NewPCG(seed, uint64(i))), end, every, mean)
	}
	return out
}

// byKey has each server own a part of the keys, and take all calls for them, however many; a hedge asks the next server on the
// ring, as if it had a replica.
func byKey() *policy.LoadBalancing {
	return &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{LoadFactor: policy.Set(100.0)}}
}

// TestKeys reads many keys over many servers at once, as the paper's benchmark. Its gate: the 99.9th percentile of reading all of
// them falls to a tenth at least, for at most 5 % more attempts.
func TestKeys(t *testing.T) {
	const warmUp = 30
	keys, batches := atLength(100, 1000), atLength(1000, 2000)
	all := stalling(stallsOf(keyServers, time.Duration(batches+warmUp)*batchEvery, stallEvery, stallMean, 1), 1)
	contenders := []contender{unhedged(byKey()), byDefault(byKey())}
	if *page != "" {
		contenders = append(contenders, after(keyDelay, byKey()))
	}
	var rows []row
	for _, c := range contenders {
		rows = append(rows, inVirtualTime(t, c, all, 1, func(c *caller) { c.batches(batches+warmUp, warmUp, keys, batchEvery) }))
	}
	gateKeys(t, rows)
	publish(t, "keys", keyTable(rows))
}

// TestGRPCKeys is TestKeys with servers and connections of gRPC, in virtual time as well, and has the same gate.
func TestGRPCKeys(t *testing.T) {
	const warmUp = 30
	keys, batches := atLength(100, 1000), 1000
	all := stalling(stallsOf(keyServers, time.Duration(batches+warmUp)*batchEvery, stallEvery, stallMean, 1), 1)
	var rows []row
	for _, c := range []contender{unhedged(byKey()), byDefault(byKey())} {
		rows = append(rows, overGRPC(t, c, all, 1, func(c *caller) { c.batches(batches+warmUp, warmUp, keys, batchEvery) }))
	}
	gateKeys(t, rows)
	publish(t, "grpc-keys", keyTable(rows))
}

// gateKeys fails the test unless p99.9 of reading all keys is a tenth of the first row's, for at most 5 % more attempts.
func gateKeys(t *testing.T, rows []row) {
	t.Helper()
	before := quantile(rows[0].wholes(), 0.999)
	for _, r := range rows[1:] {
		r.gateExtra(t)
		if got := quantile(r.wholes(), 0.999); got > before/10 {
			t.Errorf("%s: p99.9 of all keys is %s, without hedging %s; the goal is a tenth", r.name, ms(got), ms(before))
		}
	}
}

func keyTable(rows []row) string {
	out := newTable("hedging", "all keys: p50", "p99", "p99.9", "a key: p50", "p99", "p99.9", "extra attempts", "delay")
	for _, r := range rows {
		batches, calls := r.wholes(), r.took()
		out.row(r.name, ms(quantile(batches, 0.5)), ms(quantile(batches, 0.99)), ms(quantile(batches, 0.999)),
			ms(quantile(calls, 0.5)), ms(quantile(calls, 0.99)), ms(quantile(calls, 0.999)), percent(r.load()), ms(quantile(delays(r.calls), 0.5)))
	}
	return out.String()
}
