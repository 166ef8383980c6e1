package hedge_test

import (
	"strconv"
	"sync"
	"testing"
	"time"
)

// Over real connections times are five times as long as in virtual time, or ten: what the machine adds to a call is then little.
const (
	loopbackScale  = 5
	loopbackWarmUp = time.Second
)

// loopbackGoal is what may be left of the tail, in tenths: these runs are short, in real time, on a machine that others use. What
// hedging does by itself is held in virtual time.
const loopbackGoal = 5

// together has all contenders make their calls in the same seconds, so that they have the same neighbours on the machine.
func (f *fleet) together(t *testing.T, contenders []contender, calls func(*caller)) []row {
	callers := make([]*caller, len(contenders))
	for i, c := range contenders {
		callers[i] = f.caller(t, c)
	}
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() { calls(c) })
	}
	all.Wait()
	var rows []row
	for i, c := range contenders {
		rows = append(rows, row{contender: c, result: &callers[i].result})
		rows[i].mustSucceed(t)
	}
	return rows
}

// alongside has short tests over real connections share their seconds; at length each has the machine to itself.
func alongside(t *testing.T) {
	if *page == "" {
		t.Parallel()
	}
}

// TestLoopbackKeys is TestKeys over connections of the machine, with fewer servers that stall more often. Its gate: the 99th
// percentile of reading all keys falls to a half at least.
func TestLoopbackKeys(t *testing.T) {
	const (
		number = 40
		keys   = 50
		every  = 50 * time.Millisecond
		warmUp = int(2 * loopbackWarmUp / every)
	)
	alongside(t)
	length := atLength(8*time.Second, 150*time.Second)
	stalled := make([]stalls, number)
	for i := range 3 { // in a short run, one server after the other
		begins := time.Duration(2*i+3) * time.Second
		stalled[ownerOf(t, byKey(), number, strconv.Itoa(i))] = stalls{{begins, begins + 600*time.Millisecond}}
	}
	contenders := []contender{unhedged(byKey()), byDefault(byKey())}
	if *page != "" {
		stalled = stallsOf(number, length, 300*time.Second, time.Second, 1)
		contenders = append(contenders, after(loopbackScale*keyDelay, byKey()))
	}
	all := newFleet(t, loopback, stalling(stalled, loopbackScale), 1)
	rows := all.together(t, contenders, func(c *caller) { c.batches(int(length/every), warmUp, keys, every) })
	before := quantile(rows[0].wholes(), 0.99)
	for _, r := range rows[1:] {
		r.gateExtra(t)
		if got := quantile(r.wholes(), 0.99); got > before*loopbackGoal/10 && *page == "" {
			t.Errorf("%s: p99 of all keys is %s, without hedging %s; the goal is %d tenths", r.name, ms(got), ms(before), loopbackGoal)
		}
	}
	publish(t, "loopback-keys", keyTable(rows))
}

// TestLoopbackSlow is TestSlow over real connections, at a rate that leaves as many calls in flight. Its gate: at most half as many
// calls take longer than a slow server does on average.
func TestLoopbackSlow(t *testing.T) {
	alongside(t)
	const scale = 2 * loopbackScale
	all := newFleet(t, loopback, sluggish(exponential, scale*slowMean), 1)
	length := atLength(8*time.Second, 150*time.Second)
	contenders := []contender{unhedged(leastRequest()), byDefault(leastRequest())}
	if *page != "" {
		contenders = append(contenders, after(scale*40*time.Millisecond, leastRequest()), moreHedged(leastRequest()))
	}
	rows := all.together(t, contenders, func(c *caller) { c.arrivals(length, loopbackWarmUp, slowRate/scale, "", 1) })
	for _, r := range rows[1:] {
		r.gateExtra(t)
		if got, before := r.longer(scale*slowFactor*slowMean), rows[0].longer(scale*slowFactor*slowMean); got > before*loopbackGoal/10 {
			t.Errorf("%s: %d calls took more than a second, without hedging %d; the goal is %d tenths", r.name, got, before, loopbackGoal)
		}
	}
	publish(t, "loopback-slow", slowTable(rows))
}

// longer returns how many calls took longer than d.
func (r row) longer(d time.Duration) int {
	n := 0
	for _, o := range r.calls {
		if o.took > d {
			n++
		}
	}
	return n
}
