package outlier

import (
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"
)

func config(change func(*Config)) Config {
	cfg := Config{
		BaseEjectionTime: 30 * time.Second, MaxEjectionTime: 300 * time.Second, MaxEjectedRatio: 0.1,
		ConsecutiveFailures: 5, MinimumCalls: 100, MinimumEndpoints: 5,
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// world is a detector with its endpoints, swept every interval.
type world struct {
	*Detector
	states []*State
	now    int64
}

const interval = 10 * time.Second

func newWorld(cfg Config, n int) *world {
	w := &world{Detector: NewDetector(cfg)}
	for range n {
		w.add()
	}
	return w
}

func (w *world) add() {
	s := new(State)
	w.states = append(w.states, s)
	w.Join(s)
}

func (w *world) sweep(sample func(i int) Sample) map[int]Change {
	w.now += int64(interval)
	for i, s := range w.states {
		s.Record(sample(i))
	}
	changes := map[int]Change{}
	w.Sweep(w.now, len(w.states), func(i int) *State { return w.states[i] }, func(i int, c Change) { changes[i] = c })
	return changes
}

func healthy(int) Sample { return Sample{Calls: 1000, Failures: 1, Latency: 10} }

// but is healthy but for endpoint i.
func but(i int, s Sample) func(int) Sample {
	return func(j int) Sample {
		if i == j {
			return s
		}
		return healthy(j)
	}
}

func TestWhatEjects(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    func(*Config)
		n      int
		sample Sample
		want   Reason
	}{
		{"all is well", func(c *Config) { c.FailureRatio = 0.1; c.SuccessRateStdevFactor = 1.9 }, 10, healthy(0), NoReason},
		{"failures in a row", nil, 10, Sample{Calls: 5, Failures: 5, Streak: 5}, ByConsecutiveFailures},
		{"not enough in a row", nil, 10, Sample{Calls: 1000, Failures: 1000, Streak: 4}, NoReason},
		{"failures in a row are not looked at", func(c *Config) { c.ConsecutiveFailures = 0 }, 10, Sample{Streak: 500}, NoReason},
		{"a share of failures", func(c *Config) { c.FailureRatio = 0.5 }, 10, Sample{Calls: 100, Failures: 50}, ByFailureRatio},
		{"a smaller share", func(c *Config) { c.FailureRatio = 0.5 }, 10, Sample{Calls: 100, Failures: 49}, NoReason},
		{"nothing but failures", func(c *Config) { c.FailureRatio = 1 }, 10, Sample{Calls: 100, Failures: 100}, ByFailureRatio},
		{"a share of too few calls", func(c *Config) { c.FailureRatio = 0.5 }, 10, Sample{Calls: 99, Failures: 99}, NoReason},
		{"a share in a small set", func(c *Config) { c.FailureRatio = 0.5 }, 2, Sample{Calls: 100, Failures: 50}, ByFailureRatio},
		{"a low success rate", func(c *Config) { c.SuccessRateStdevFactor = 1.9 }, 10, Sample{Calls: 1000, Failures: 100}, BySuccessRate},
		{"a success rate in a small set", func(c *Config) { c.SuccessRateStdevFactor = 1 }, 4, Sample{Calls: 1000, Failures: 900}, NoReason},
		{"a success rate of too few calls", func(c *Config) { c.SuccessRateStdevFactor = 1.9 }, 10, Sample{Calls: 99, Failures: 99}, NoReason},
		{"the only endpoint", func(c *Config) { c.FailureRatio = 0.5 }, 1, Sample{Calls: 100, Failures: 100, Streak: 100}, NoReason},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(config(tt.cfg), tt.n)
			changes := w.sweep(but(0, tt.sample))
			if got := changes[0].Reason; got != tt.want {
				t.Errorf("ejected by %q, want %q", got, tt.want)
			}
			if want := min(1, int(tt.want)); len(changes) != want || w.Out() != want {
				t.Errorf("changes %v, %d are out; want %d", changes, w.Out(), want)
			}
		})
	}
}

func TestConsecutiveFailuresEjectBetweenSweeps(t *testing.T) {
	w := newWorld(config(nil), 10)
	if _, ok := w.Consecutive(1, w.states[3], 4); ok {
		t.Error("4 failures ejected")
	}
	want := Change{From: Well, To: Ejected, Reason: ByConsecutiveFailures}
	if c, ok := w.Consecutive(1, w.states[3], 5); !ok || c != want {
		t.Errorf("5 failures: %v, %t", c, ok)
	}
	if _, ok := w.Consecutive(1, w.states[3], 6); ok {
		t.Error("was ejected a second time")
	}
	if _, ok := w.Consecutive(1, w.states[4], 50); ok {
		t.Error("more were ejected than 0.1 of 10")
	}
	if _, ok := w.Consecutive(1, new(State), 50); ok {
		t.Error("an endpoint that has not joined was ejected")
	}
}

// Each ejection that follows another soon is longer; time among the others makes them shorter again.
func TestEjectionTimeGrowsAndDecays(t *testing.T) {
	w := newWorld(config(func(c *Config) { c.MaxEjectionTime = 100 * time.Second }), 10)
	ejection := func() (sweeps int) {
		if _, ok := w.Consecutive(w.now, w.states[0], 5); !ok {
			t.Fatal("not ejected")
		}
		for w.Standing(w.states[0]) == Ejected {
			w.sweep(healthy)
			sweeps++
		}
		return sweeps
	}
	var got []int
	for range 6 {
		got = append(got, ejection())
	}
	if want := []int{3, 6, 9, 10, 10, 10}; !slices.Equal(got, want) {
		t.Errorf("ejections of %v sweeps, want %v", got, want)
	}
	w.sweep(healthy)
	w.sweep(healthy)
	if got := ejection(); got != 9 {
		t.Errorf("after two sweeps among the others an ejection of %d sweeps, want 9", got)
	}
	for range 10 {
		w.sweep(healthy)
	}
	if got := ejection(); got != 3 {
		t.Errorf("after a long time an ejection of %d sweeps, want 3", got)
	}
}

func TestAllowedShare(t *testing.T) {
	for _, tt := range []struct {
		ratio   float64
		n, want int
	}{
		{0.1, 1, 0}, {0.1, 2, 1}, {0.1, 19, 1}, {0.1, 20, 2}, {0.29, 100, 29}, {0.07, 100, 7}, {1, 7, 7}, {1e-9, 10, 1},
	} {
		cfg := config(func(c *Config) { c.MaxEjectedRatio = tt.ratio })
		if got := cfg.allowed(tt.n); got != tt.want {
			t.Errorf("%v of %d endpoints: %d may be out, want %d", tt.ratio, tt.n, got, tt.want)
		}
	}
}

func slowBy(factor float64) Config {
	return config(func(c *Config) { c.LatencyFactor = factor })
}

func TestSlowEndpointGoesOnProbationAndComesBack(t *testing.T) {
	w := newWorld(slowBy(3), 10)
	slow := Sample{Calls: 1000, Latency: 30}
	if changes := w.sweep(but(0, slow)); len(changes) != 0 {
		t.Fatalf("after one slow sweep: %v", changes)
	}
	w.sweep(healthy)
	w.sweep(but(0, slow))
	if changes := w.sweep(but(0, slow)); changes[0] != (Change{Well, OnProbation, ByLatency}) || len(changes) != 1 {
		t.Fatalf("after two slow sweeps in a row: %v", changes)
	}
	// Within the factor, but not by enough; then too few probes to tell.
	w.sweep(but(0, Sample{Calls: 6, Latency: 25}))
	w.sweep(but(0, Sample{Calls: 4, Latency: 12}))
	if got := w.Standing(w.states[0]); got != OnProbation {
		t.Fatalf("is %s before there is reason to let it back", got)
	}
	changes := w.sweep(but(0, Sample{Calls: 1, Latency: 12}))
	if changes[0] != (Change{OnProbation, Well, ByLatency}) || w.Out() != 0 {
		t.Errorf("after 5 quick probes: %v, %d are out", changes, w.Out())
	}
}

func TestProbationEndsWithoutCalls(t *testing.T) {
	w := newWorld(slowBy(3), 10)
	for range 2 {
		w.sweep(but(0, Sample{Calls: 1000, Latency: 30}))
	}
	sweeps := 0
	for w.Standing(w.states[0]) != Well {
		w.sweep(func(int) Sample { return Sample{} })
		sweeps++
	}
	if sweeps != 30 {
		t.Errorf("it came back after %d sweeps, want the longest ejection, 30", sweeps)
	}
}

func TestProbationTurnsIntoEjection(t *testing.T) {
	w := newWorld(slowBy(3), 10)
	for range 2 {
		w.sweep(but(0, Sample{Calls: 1000, Latency: 30}))
	}
	if c, ok := w.Consecutive(w.now, w.states[0], 5); !ok || c != (Change{OnProbation, Ejected, ByConsecutiveFailures}) {
		t.Errorf("failures in a row on probation: %v, %t", c, ok)
	}
	if w.Out() != 1 {
		t.Errorf("%d are out, want 1", w.Out())
	}
}

func TestLatencyNoLongerLookedAt(t *testing.T) {
	w := newWorld(slowBy(3), 10)
	for range 2 {
		w.sweep(but(0, Sample{Calls: 1000, Latency: 30}))
	}
	w.Configure(slowBy(0))
	if changes := w.sweep(healthy); changes[0].To != Well || len(changes) != 1 {
		t.Errorf("changes %v", changes)
	}
}

// Where half of the endpoints are slow, none is slower than its peers.
func TestTwoEqualHalvesAreNoOutliers(t *testing.T) {
	w := newWorld(config(func(c *Config) { c.LatencyFactor = 3; c.MaxEjectedRatio = 1 }), 10)
	for range 4 {
		w.sweep(func(i int) Sample { return Sample{Calls: 1000, Latency: float32(10 + i/4*90)} })
	}
	if w.Out() != 0 {
		t.Errorf("%d are out", w.Out())
	}
}

func TestObserveReportsAndLeavesAlone(t *testing.T) {
	w := newWorld(config(func(c *Config) { c.Observe = true }), 10)
	changes := w.sweep(but(0, Sample{Calls: 5, Failures: 5, Streak: 5}))
	if changes[0].To != Ejected || w.Standing(w.states[0]) != Well || w.Out() != 1 {
		t.Errorf("changes %v, standing %s, %d would be out", changes, w.Standing(w.states[0]), w.Out())
	}
	w.Configure(config(nil))
	if got := w.Standing(w.states[0]); got != Ejected {
		t.Errorf("no longer observed, it is %s", got)
	}
}

func TestLeavingAndComingBack(t *testing.T) {
	w := newWorld(config(nil), 10)
	gone := w.states[0]
	w.Consecutive(w.now, gone, 5)
	w.Leave(gone)
	w.Leave(gone)
	if w.Out() != 0 {
		t.Fatalf("%d are out after the only one has left", w.Out())
	}
	if _, ok := w.Consecutive(w.now, w.states[1], 5); !ok {
		t.Fatal("the place was not given to another")
	}
	w.Join(gone)
	w.Join(gone)
	if w.Out() != 2 || w.Standing(gone) != Ejected {
		t.Fatalf("%d are out, it is %s", w.Out(), w.Standing(gone))
	}
	if changes := w.sweep(healthy); len(changes) != 1 || w.Out() != 1 {
		t.Errorf("one too many was out; the sweep changed %v", changes)
	}
}

func TestLowerMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float32
		want float32
	}{
		{[]float32{7}, 7}, {[]float32{9, 1}, 1}, {[]float32{3, 1, 2}, 2}, {[]float32{4, 4, 4, 4}, 4}, {[]float32{5, 1, 4, 2, 3, 6}, 3},
	} {
		if got := lowerMedian(slices.Clone(tt.in)); got != tt.want {
			t.Errorf("lower median of %v = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestEjectionTimeDoesNotOverflow(t *testing.T) {
	cfg := Config{BaseEjectionTime: math.MaxInt64 / 2, MaxEjectionTime: math.MaxInt64}
	if got := cfg.ejectionTime(3); got != math.MaxInt64 {
		t.Errorf("ejection time %v", got)
	}
}

func TestStateIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(State{}); size > 48 {
		t.Errorf("a State takes %d bytes", size)
	}
}
