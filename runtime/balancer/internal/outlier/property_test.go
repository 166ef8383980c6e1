package outlier

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the rules written down as plainly as they can be, without regard to time or memory.
type model struct {
	cfg       Config
	endpoints []*modelEndpoint
}

type modelEndpoint struct {
	sample     Sample
	standing   Standing
	since      int64
	multiplier int
	slow       int
	probes     []float32
}

func (m *model) out() (n int) {
	for _, e := range m.endpoints {
		if e.standing != Well {
			n++
		}
	}
	return n
}

func (m *model) allowed() int {
	if len(m.endpoints) < 2 {
		return 0
	}
	return max(1, int(math.Floor(float64(len(m.endpoints))*m.cfg.MaxEjectedRatio+1e-9)))
}

func (m *model) eject(now int64, e *modelEndpoint) {
	if e.standing == Ejected || e.standing == Well && m.out() >= m.allowed() {
		return
	}
	if e.multiplier < int(math.Ceil(float64(m.cfg.longest())/float64(m.cfg.BaseEjectionTime))) {
		e.multiplier++
	}
	*e = modelEndpoint{sample: e.sample, standing: Ejected, since: now, multiplier: e.multiplier}
}

func (e *modelEndpoint) readmit() { *e = modelEndpoint{sample: e.sample, multiplier: e.multiplier} }

func (m *model) enough(e *modelEndpoint) bool {
	return e.sample.Calls > 0 && e.sample.Calls >= m.cfg.MinimumCalls
}

func (m *model) sweep(now int64) {
	var rates []float64
	var latencies []float32
	for _, e := range m.endpoints {
		if m.enough(e) {
			rates = append(rates, e.rate())
			if e.standing == Well && e.sample.Latency > 0 {
				latencies = append(latencies, e.sample.Latency)
			}
		}
	}
	var mean, variance float64
	for _, r := range rates {
		mean += r / float64(len(rates))
	}
	for _, r := range rates {
		variance += (r - mean) * (r - mean) / float64(len(rates))
	}
	required := -1.0
	if m.cfg.SuccessRateStdevFactor > 0 && len(rates) >= int(m.cfg.MinimumEndpoints) {
		required = mean - m.cfg.SuccessRateStdevFactor*math.Sqrt(variance) - 1e-9
	}
	slices.Sort(latencies)
	median := float32(0)
	if m.cfg.LatencyFactor > 0 && len(latencies) > 0 && len(latencies) >= int(m.cfg.MinimumEndpoints) {
		median = latencies[(len(latencies)-1)/2]
	}
	for _, e := range m.endpoints {
		m.judge(now, e, required, median)
	}
	for _, e := range m.endpoints {
		last := min(m.cfg.longest(), m.cfg.BaseEjectionTime*time.Duration(e.multiplier))
		if e.standing != Ejected {
			e.multiplier = max(0, e.multiplier-1)
		} else if now >= e.since+int64(last) {
			e.readmit()
		}
	}
	for _, e := range m.endpoints {
		if e.standing != Well && m.out() > m.allowed() {
			e.readmit()
		}
	}
}

func (e *modelEndpoint) rate() float64 {
	return float64(e.sample.Calls-e.sample.Failures) / float64(e.sample.Calls)
}

func (m *model) judge(now int64, e *modelEndpoint, required float64, median float32) {
	cfg := m.cfg
	bad := m.enough(e) && (e.rate() < required || cfg.FailureRatio > 0 && 1-e.rate() >= cfg.FailureRatio-1e-9)
	if bad || cfg.ConsecutiveFailures > 0 && e.sample.Streak >= cfg.ConsecutiveFailures {
		m.eject(now, e)
	}
	switch {
	case e.standing == Ejected:
	case e.standing == Well && (median == 0 || !m.enough(e) || e.sample.Latency == 0):
	case e.standing == Well && e.sample.Latency < median*float32(cfg.LatencyFactor):
		e.slow = 0
	case e.standing == Well:
		if e.slow++; e.slow >= 2 && m.out() < m.allowed() {
			*e = modelEndpoint{sample: e.sample, standing: OnProbation, since: now, multiplier: e.multiplier}
		}
	case cfg.LatencyFactor == 0:
		e.readmit()
	default:
		for range e.sample.Calls {
			if e.sample.Latency > 0 {
				e.probes = append(e.probes, e.sample.Latency)
			}
		}
		if len(e.probes) >= 5 && median > 0 {
			var sum float32
			for _, l := range e.probes {
				sum += l
			}
			if sum/float32(len(e.probes)) <= median*float32(1+(cfg.LatencyFactor-1)/2) {
				e.readmit()
				return
			}
			e.since, e.probes = now, nil
		}
		if now-e.since >= int64(cfg.longest()) {
			e.readmit()
		}
	}
}

func drawConfig(t *rapid.T) Config {
	return Config{
		Observe:                rapid.Bool().Draw(t, "observe"),
		BaseEjectionTime:       time.Duration(rapid.IntRange(1, 40).Draw(t, "base")) * time.Second,
		MaxEjectionTime:        time.Duration(rapid.IntRange(1, 200).Draw(t, "max")) * time.Second,
		MaxEjectedRatio:        rapid.SampledFrom([]float64{0.01, 0.1, 0.34, 0.5, 1}).Draw(t, "ratio"),
		ConsecutiveFailures:    uint32(rapid.IntRange(0, 5).Draw(t, "consecutive")),
		FailureRatio:           rapid.SampledFrom([]float64{0, 0.2, 0.5, 1}).Draw(t, "failure ratio"),
		SuccessRateStdevFactor: rapid.SampledFrom([]float64{0, 0.5, 1.9}).Draw(t, "stdev factor"),
		LatencyFactor:          rapid.SampledFrom([]float64{0, 1.5, 3}).Draw(t, "latency factor"),
		MinimumCalls:           uint32(rapid.IntRange(1, 20).Draw(t, "minimum calls")),
		MinimumEndpoints:       uint32(rapid.IntRange(1, 6).Draw(t, "minimum endpoints")),
	}
}

// Latencies are whole numbers, so that sums are exact in any order.
func drawSample(t *rapid.T) Sample {
	calls := rapid.Uint32Range(0, 40).Draw(t, "calls")
	return Sample{
		Calls: calls, Failures: rapid.Uint32Range(0, calls).Draw(t, "failures"),
		Streak:  rapid.Uint32Range(0, 6).Draw(t, "streak"),
		Latency: float32(rapid.SampledFrom([]int{0, 10, 11, 12, 20, 40, 90}).Draw(t, "latency")),
	}
}

func TestDetectorIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		d, m := NewDetector(cfg), &model{cfg: cfg}
		var states []*State
		var now int64
		check := func() {
			for i, e := range m.endpoints {
				if s := states[i]; s.standing != e.standing || int(s.multiplier) != e.multiplier {
					t.Fatalf("endpoint %d is %s (×%d), want %s (×%d)", i, s.standing, s.multiplier, e.standing, e.multiplier)
				}
				if got := d.Standing(states[i]); m.cfg.Observe && got != Well {
					t.Fatalf("endpoint %d is %s although this only observes", i, got)
				}
			}
			if d.Out() != m.out() {
				t.Fatalf("%d are out, want %d", d.Out(), m.out())
			}
		}
		join := func() {
			states, m.endpoints = append(states, new(State)), append(m.endpoints, new(modelEndpoint))
			d.Join(states[len(states)-1])
		}
		for range rapid.IntRange(0, 12).Draw(t, "endpoints") {
			join()
		}
		sweep := func(t *rapid.T, sample func(i int) Sample) {
			now += int64(rapid.IntRange(1, 30).Draw(t, "seconds")) * int64(time.Second)
			before := make([]Standing, len(states))
			for i, s := range states {
				before[i] = s.standing
				m.endpoints[i].sample = sample(i)
				s.Record(m.endpoints[i].sample)
			}
			d.Sweep(now, len(states), func(i int) *State { return states[i] }, func(i int, c Change) {
				if c.From != before[i] || c.From == c.To {
					t.Fatalf("endpoint %d was %s, and the change is %v", i, before[i], c)
				}
				before[i] = c.To
			})
			m.sweep(now)
			for i, s := range states {
				if s.standing != before[i] {
					t.Fatalf("endpoint %d is %s, as the changes have it %s", i, s.standing, before[i])
				}
			}
			if d.Out() > m.allowed() {
				t.Fatalf("%d are out, and %d may be", d.Out(), m.allowed())
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":     func(*rapid.T) { check() },
			"join": func(*rapid.T) { join() },
			"leave": func(t *rapid.T) {
				if len(states) == 0 {
					return
				}
				i := rapid.IntRange(0, len(states)-1).Draw(t, "who")
				d.Leave(states[i])
				states, m.endpoints = slices.Delete(states, i, i+1), slices.Delete(m.endpoints, i, i+1)
			},
			"configure": func(t *rapid.T) {
				cfg := drawConfig(t)
				d.Configure(cfg)
				m.cfg = cfg
			},
			"fail in a row": func(t *rapid.T) {
				if len(states) == 0 {
					return
				}
				i := rapid.IntRange(0, len(states)-1).Draw(t, "who")
				streak := rapid.Uint32Range(0, 6).Draw(t, "streak")
				before := states[i].standing
				c, ok := d.Consecutive(now, states[i], streak)
				if m.cfg.ConsecutiveFailures > 0 && streak >= m.cfg.ConsecutiveFailures {
					m.eject(now, m.endpoints[i])
				}
				if ok != (states[i].standing != before) || ok && (c.From != before || c.To != Ejected) {
					t.Fatalf("from %s to %s it reported %v, %t", before, states[i].standing, c, ok)
				}
			},
			"sweep": func(t *rapid.T) { sweep(t, func(int) Sample { return drawSample(t) }) },
			"some are slow": func(t *rapid.T) {
				first := rapid.IntRange(0, 3).Draw(t, "first")
				for range rapid.IntRange(1, 3).Draw(t, "sweeps") {
					latency := float32(rapid.SampledFrom([]int{10, 12, 18, 21, 40}).Draw(t, "latency"))
					calls := rapid.Uint32Range(0, 30).Draw(t, "calls")
					sweep(t, func(i int) Sample {
						if i >= first && i < first+2 {
							return Sample{Calls: calls, Latency: latency}
						}
						return Sample{Calls: 30, Latency: 10}
					})
					check()
				}
			},
		})
	})
}

// Endpoints that fail alike are no outliers among each other, however their rates round.
func TestEqualSuccessRatesEjectNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.Uint32Range(1, 1_000_000).Draw(t, "calls")
		sample := Sample{Calls: calls, Failures: rapid.Uint32Range(0, calls).Draw(t, "failures"), Latency: 7}
		w := newWorld(Config{
			BaseEjectionTime: time.Second, MaxEjectedRatio: 1, SuccessRateStdevFactor: 0.1, LatencyFactor: 1.001,
		}, rapid.IntRange(1, 300).Draw(t, "endpoints"))
		for range 3 {
			if changes := w.sweep(func(int) Sample { return sample }); len(changes) > 0 {
				t.Fatalf("changes %v", changes)
			}
		}
	})
}

func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			w := newWorld(Config{
				BaseEjectionTime: 30 * time.Second, MaxEjectedRatio: 0.1, ConsecutiveFailures: 5, FailureRatio: 0.5,
				SuccessRateStdevFactor: 3, LatencyFactor: 3, MinimumCalls: 100, MinimumEndpoints: 5,
			}, n)
			for i, s := range w.states {
				s.Record(Sample{Calls: 1000, Failures: uint32(i % 7), Latency: float32(100 + i*7919%n)})
			}
			at := func(i int) *State { return w.states[i] }
			b.ReportAllocs()
			for b.Loop() {
				w.now += int64(interval)
				w.Sweep(w.now, n, at, nil)
			}
		})
	}
}
