package sim

import (
	"fmt"
	"testing"
	"time"
)

// outcome is what came of each contender in one scenario, by name. It runs those that a gate asks for.
type outcome struct {
	t    *testing.T
	s    Scenario
	done map[string]*Result
}

func run2(t *testing.T, name string) *outcome {
	t.Parallel()
	s, ok := At(name)
	if !ok {
		t.Fatalf("there is no scenario %s", name)
	}
	return &outcome{t, s, make(map[string]*Result)}
}

// of returns what came of two runs.
func (o *outcome) of(name string) *Result {
	if r := o.done[name]; r != nil {
		return r
	}
	for _, c := range Contenders(o.s) {
		if c.Name == name {
			o.done[name] = RunAll(o.s, []Contender{c}, 2)[0].Result
			return o.done[name]
		}
	}
	o.t.Fatalf("%s does not take part in %s", name, o.s.Name)
	return nil
}

// atMost holds a quantile of adaptive to a multiple of that of another.
func (o *outcome) atMost(q, factor float64, others ...string) {
	o.t.Helper()
	ours := o.of(Adaptive).Quantile(q)
	for _, other := range others {
		theirs := o.of(other).Quantile(q)
		ratio := float64(ours) / float64(theirs)
		o.t.Logf("p%g: adaptive %v, %s %v: %.3f, at most %.2f", 100*q, ours, other, theirs, ratio, factor)
		if ratio > factor {
			o.t.Errorf("p%g of adaptive is %v, %.3f times that of %s, %v; at most %.2f", 100*q, ours, ratio, other, theirs, factor)
		}
	}
}

// client are the rules that a client can follow on its own; Prequal needs servers that answer its probes.
var client = []string{GoZero, Kratos, Finagle, LeastLoaded}

func TestOneSlowServerIsLeft(t *testing.T) {
	o := run2(t, "A")
	if got := o.of(Adaptive).Success(); got < 0.999 {
		t.Errorf("%.4f of the calls succeeded within a second, at least 0.999", got)
	}
}

func TestSlowHalf(t *testing.T) {
	o := run2(t, "B")
	o.atMost(0.99, 0.65, client...)
	o.atMost(0.99, 0.8, Prequal)
}

// One client knows of all calls, many clients know little of each other's.
func TestSlowHalfByClients(t *testing.T) {
	for clients, factor := range map[int]float64{1: 0.83, 3: 0.85, 20: 0.8} {
		t.Run(fmt.Sprint(clients), func(t *testing.T) {
			o := run2(t, "B")
			o.s.Clients = clients
			o.atMost(0.99, factor, Prequal)
		})
	}
}

// With eight workers a server, nearly all of the latency is service: the oracle itself is 14 % below the best other rule, no more.
func TestSlowHalfOfWideServers(t *testing.T) {
	o := run2(t, "B8")
	o.atMost(0.99, 0.88, client...)
	o.atMost(0.99, 1.03, Prequal, Oracle)
}

func TestAntagonist(t *testing.T) {
	o := run2(t, "C")
	o.atMost(0.99, 0.55, client...)
	o.atMost(0.99, 0.8, Prequal)
}

func TestEvenLoad(t *testing.T) {
	o := run2(t, "D")
	o.atMost(0.99, 1, LeastRequest)
	o.atMost(0.99, 1.02, RoundRobin)
}

func TestSparseClients(t *testing.T) {
	o := run2(t, "E")
	o.atMost(0.99, 0.5, append(client, Prequal)...)
}

func TestBrokenServerIsLeft(t *testing.T) {
	for _, name := range []string{"F", "G"} {
		t.Run(name, func(t *testing.T) {
			o := run2(t, name)
			for _, contender := range []string{Adaptive, WithOutlier} {
				if got := o.of(contender).BadShare(); got >= 0.002 {
					t.Errorf("%s: %.4f of the calls go to the broken server, less than 0.002", contender, got)
				}
			}
		})
	}
}

// Above what the servers can do, no rule helps; adaptive must not make it worse.
func TestOverload(t *testing.T) {
	o := run2(t, "H")
	if ours, even := o.of(Adaptive).Success(), o.of(RoundRobin).Success(); ours < even {
		t.Errorf("%.3f of the calls succeeded within a second, with round_robin %.3f", ours, even)
	}
}

func TestRollingRestartFailsNoCall(t *testing.T) {
	o := run2(t, "I")
	for _, name := range []string{Adaptive, "peak_ewma", LeastRequest, RoundRobin} {
		if n := o.of(name).Failed; n > 0 {
			t.Errorf("%s: %d calls failed", name, n)
		}
	}
}

// Twenty connections of a thousand are enough to find servers that are well.
func TestSubset(t *testing.T) {
	o := run2(t, "J")
	o.atMost(0.99, 0.95, Prequal)
	if got := o.of(Adaptive).BadShare(); got > 0.005 {
		t.Errorf("%.4f of the calls go to slow servers, at most 0.005", got)
	}
}

func TestTwoSlowServersOfTwenty(t *testing.T) {
	for _, name := range []string{"K70", "K90"} {
		t.Run(name, func(t *testing.T) {
			o := run2(t, name)
			o.atMost(0.99, 0.84, GoZero)
			o.atMost(0.999, 0.1, GoZero)
		})
	}
}

func TestStalls(t *testing.T) {
	o := run2(t, "L")
	o.atMost(0.99, 0.3, GoZero)
}

// A run depends on its seed alone.
func TestRunsRepeat(t *testing.T) {
	s := antagonist()
	s.Length = 7 * time.Second
	for _, c := range Contenders(s) {
		a, b, other := Run(s, c, 1), Run(s, c, 1), Run(s, c, 2)
		if a.Calls() != b.Calls() || a.Quantile(0.99) != b.Quantile(0.99) || a.Quantile(0.5) != b.Quantile(0.5) {
			t.Errorf("%s: the same seed gives p99 %v and %v", c.Name, a.Quantile(0.99), b.Quantile(0.99))
		}
		if a.Quantile(0.99) == other.Quantile(0.99) {
			t.Errorf("%s: another seed gives the same p99, %v", c.Name, a.Quantile(0.99))
		}
	}
}
