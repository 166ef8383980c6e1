package balancer

import (
	"testing"
	"time"
)

var byLatency = []Config{peakEwmaConfig(10 * time.Second), adaptiveConfig()}

// An endpoint that fails at once has nothing in flight, and must not look fast.
func TestFastFailuresDoNotAttract(t *testing.T) {
	for _, cfg := range byLatency {
		for _, n := range []int{3, 5, 20} {
			for _, from := range []time.Duration{0, 5 * time.Second} { // from the first call, or later
				s := newScene(1, cfg, n, 1)
				const every, length = 2 * time.Millisecond, 30 * time.Second
				got := s.run(t, every, 8*time.Second, length, func(i int, now time.Duration) simulated {
					if i == 0 && now >= from {
						return simulated{100 * time.Microsecond, failed}
					}
					return simulated{20 * time.Millisecond, succeeded}
				})
				calls := int((length - 8*time.Second) / every)
				if got[0] > calls/100 {
					t.Errorf("%s over %d endpoints, failing from %v on: %d of %d calls", cfg.arm(), n, from, got[0], calls)
				}
				if got[0] == 0 {
					t.Errorf("%s over %d endpoints, failing from %v on: never tried again", cfg.arm(), n, from)
				}
			}
		}
	}
}

// One failure among many successes changes next to nothing.
func TestFewFailuresAreForgiven(t *testing.T) {
	for _, cfg := range byLatency {
		s := newScene(1, cfg, 10, 1)
		calls := 0
		got := s.run(t, 2*time.Millisecond, 2*time.Second, 42*time.Second, func(i int, _ time.Duration) simulated {
			if i == 0 {
				if calls++; calls%100 == 0 {
					return simulated{20 * time.Millisecond, failed}
				}
			}
			return simulated{20 * time.Millisecond, succeeded}
		})
		if got[0] < 1400 {
			t.Errorf("%s: an endpoint that fails one call in 100 has %d calls, the mean is 2000", cfg.arm(), got[0])
		}
	}
}

// An endpoint that becomes slow is left, and taken back once it is fast again.
func TestSlowEndpointIsLeftAndTakenBack(t *testing.T) {
	for _, cfg := range byLatency {
		for _, n := range []int{3, 20} {
			s := newScene(1, cfg, n, 1)
			const slowFrom, slowTo = 10 * time.Second, 40 * time.Second
			during, after, late := 0, 0, 100*time.Second
			s.run(t, 2*time.Millisecond, 0, 120*time.Second, func(i int, now time.Duration) simulated {
				slow := i == 0 && now >= slowFrom && now < slowTo
				switch {
				case slow && now >= slowFrom+2*time.Second:
					during++
				case i == 0 && now >= late:
					after++
				}
				if slow {
					return simulated{500 * time.Millisecond, succeeded}
				}
				return simulated{10 * time.Millisecond, succeeded}
			})
			if during > 14_000/100 {
				t.Errorf("%s over %d endpoints: %d of 14000 calls while it is slow", cfg.arm(), n, during)
			}
			if mean := 10_000 / n; after < mean/3 {
				t.Errorf("%s over %d endpoints: %d calls once it is fast again, the mean is %d", cfg.arm(), n, after, mean)
			}
		}
	}
}

// An endpoint that stops answering is left before the first of its calls has ended.
func TestHangingEndpointIsLeft(t *testing.T) {
	s := newScene(1, adaptiveConfig(), 20, 1)
	hung := 0
	s.run(t, 2*time.Millisecond, 0, 30*time.Second, func(i int, now time.Duration) simulated {
		if i == 0 && now >= 10*time.Second {
			hung++
			return simulated{time.Hour, cancelled}
		}
		return simulated{20 * time.Millisecond, succeeded}
	})
	if hung > 10 {
		t.Errorf("%d calls go to an endpoint that does not answer, in 20 s", hung)
	}
}

// A new endpoint is called at once, and not flooded before it has answered.
func TestNewEndpointIsNotFlooded(t *testing.T) {
	for _, cfg := range byLatency {
		s := newScene(1, cfg, 10, 1)
		s.run(t, time.Millisecond, 0, 5*time.Second, func(int, time.Duration) simulated {
			return simulated{20 * time.Millisecond, succeeded}
		})
		e := s.endpoints[3]
		e.load.latency.set(0, 0) // as if it had just come
		calls, most := 0, 0
		for range 100 {
			s.pass(time.Millisecond)
			i, done := s.pick(t, t.Context())
			if i != 3 {
				done(succeeded)
				continue
			}
			calls++
			most = max(most, int(e.load.inFlight()))
		}
		if calls == 0 || most > 5 {
			t.Errorf("%s: %d of 100 calls, at most %d in flight", cfg.arm(), calls, most)
		}
	}
}

func TestLearn(t *testing.T) {
	const ms = int64(time.Millisecond)
	smooth := adaptiveSmoothing()
	after := func(steps func(l *load)) *load {
		l := newLoad()
		l.learn(0, 20*ms, success, &smooth)
		steps(l)
		return l
	}
	latency := func(l *load) float32 { return l.latency.read(0).value / float32(ms) }

	if l := after(func(*load) {}); latency(l) != 20 || l.failing(0, smooth.forget) != 1 {
		t.Errorf("the first answer gives %v", latency(l))
	}
	if l := after(func(l *load) { l.learn(50*ms, ms, failure, &smooth) }); latency(l) != 20 || l.failing(50*ms, smooth.forget) < 1.5 {
		t.Errorf("a fast failure gives %v and a factor of %v", latency(l), l.failing(50*ms, smooth.forget))
	}
	if l := after(func(l *load) { l.learn(500*ms, 400*ms, failure, &smooth) }); latency(l) < 100 {
		t.Errorf("a slow failure gives %v", latency(l))
	}
	if l := after(func(l *load) { l.learn(500*ms, ms, neutral, &smooth) }); latency(l) != 20 {
		t.Errorf("a call that was soon given up gives %v", latency(l))
	}
	if l := after(func(l *load) { l.learn(500*ms, 400*ms, neutral, &smooth) }); latency(l) < 100 || l.trouble.any() {
		t.Errorf("a call that was given up after a long wait gives %v", latency(l))
	}
	if l := newLoad(); true {
		if l.learn(0, ms, failure, &smooth); latency(l) != 0 || l.failing(0, smooth.forget) == 1 {
			t.Errorf("a failure before any answer gives %v", latency(l))
		}
	}
	l := after(func(l *load) {
		for range 50 {
			l.learn(50*ms, ms, failure, &smooth)
		}
	})
	if got := l.failing(50*ms, smooth.forget); got < 5000 || got > 20_000 {
		t.Errorf("nothing but failures gives a factor of %v", got)
	}
	if got := l.failing(60_000*ms, smooth.forget); got != 1 {
		t.Errorf("a minute later the factor is %v", got)
	}
	for range 20 {
		l.learn(60*ms, 20*ms, success, &smooth)
	}
	if l.trouble.any() {
		t.Error("20 successes do not clear it")
	}
}

// A hedge that is superseded is cancelled: the endpoint that it left must look as slow as it was found to be.
func TestSupersededCallsShowASlowEndpoint(t *testing.T) {
	for _, cfg := range byLatency {
		s := newScene(1, cfg, 5, 1)
		got := s.run(t, 5*time.Millisecond, 5*time.Second, 35*time.Second, func(i int, _ time.Duration) simulated {
			if i == 0 {
				return simulated{100 * time.Millisecond, cancelled}
			}
			return simulated{10 * time.Millisecond, succeeded}
		})
		if got[0] > 6000/50 {
			t.Errorf("%s: %d of 6000 calls go where all are given up", cfg.arm(), got[0])
		}
	}
}
