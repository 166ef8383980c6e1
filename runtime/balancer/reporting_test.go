package balancer

import (
	"testing"
	"time"
)

// Servers are asked for reports while weighted_round_robin wants them: again after another policy, and no longer after Close.
func TestReportsAreAskedForAgain(t *testing.T) {
	for _, other := range []Config{roundRobinConfig(), consistentHashConfig(1.25), leastRequestConfig(2)} {
		cfg := outOfBand(30 * time.Second)
		r := newRig(t, cfg)
		r.must(r.resolve("a", "b", "c"))
		bringUp(r.cc)
		r.time.fire()
		before := len(r.ch.streams)
		r.ch.Configure(other)
		r.must(r.resolve("a", "b", "c"))
		r.time.fire()
		between := len(r.ch.streams)
		r.ch.Configure(cfg)
		r.must(r.resolve("a", "b", "c"))
		r.time.fire()
		if after := len(r.ch.streams); before != 3 || between != 0 || after != 3 {
			t.Errorf("by way of %s: %d streams, then %d, then %d", other.arm(), before, between, after)
		}
		r.lb.Close()
		r.time.fire()
		if n := len(r.ch.streams); n != 0 {
			t.Errorf("%d entries of streams are left after Close", n)
		}
	}
}
