package hedge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

// contender is a way to hedge, and to balance.
type contender struct {
	name      string
	balancing *policy.LoadBalancing
	hedging   *policy.Hedging // nil for none
}

// unhedged is a contender that balances and does not hedge.
func unhedged(lb *policy.LoadBalancing) contender { return contender{"none", lb, nil} }

// byDefault is a contender that balances and hedges as `hedging: {}` has it.
func byDefault(lb *policy.LoadBalancing) contender {
	return contender{"`delay_quantile: 0.95`", lb, &policy.Hedging{}}
}

// after is a contender that balances and hedges after a fixed delay.
func after(delay time.Duration, lb *policy.LoadBalancing) contender {
	return contender{fmt.Sprintf("`delay: %q`", delay), lb, &policy.Hedging{Delay: &delay}}
}

// row is what came of a contender.
type row struct {
	contender
	*result
	start time.Time // of the servers' time; zero over real connections, as what follows
	slow  float64   // the share of attempts that went to servers that are slow
}

// inVirtualTime makes the calls of a contender in a bubble.
func inVirtualTime(t *testing.T, c contender, s servers, seed uint64, calls func(*caller)) row {
	var out row
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, s, c.balancing, seed)
		caller := newCaller(t, c.hedging, v.options(c.balancing)...)
		calls(caller)
		out = row{c, &caller.result, v.start, v.share(s.slow)}
	})
	out.mustSucceed(t)
	return out
}

// overGRPC makes the calls of a contender in a bubble, of servers and over connections of gRPC.
func overGRPC(t *testing.T, c contender, s servers, seed uint64, calls func(*caller)) row {
	var out row
	synctest.Test(t, func(t *testing.T) {
		caller := newFleet(t, memory, s, seed).caller(t, c)
		calls(caller)
		out = row{contender: c, result: &caller.result}
	})
	out.mustSucceed(t)
	return out
}

// mustSucceed fails the test if a call did.
func (r row) mustSucceed(t *testing.T) {
	t.Helper()
	if r.err != nil {
		t.Errorf("%s: calls failed: %v", r.name, r.err)
	}
}

// gateExtra fails the test if a client makes more attempts than the default cap allows.
func (r row) gateExtra(t *testing.T) {
	t.Helper()
	if load := r.load(); load > 0.05 {
		t.Errorf("%s: %s extra attempts; the cap is 5 %%", r.name, percent(load))
	}
}
