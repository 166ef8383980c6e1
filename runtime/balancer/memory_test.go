package balancer

import (
	"testing"
	"time"
)

// One pick in 100 µs compares all endpoints, or 32 of many: the only fast one is found by it, and kept until the next.
func TestSurveyFindsTheBest(t *testing.T) {
	for _, n := range []int{6, 20, surveyed, 200} {
		s := newScene(1, adaptiveConfig(), n, 1)
		good := n - 1
		for i, e := range s.endpoints {
			e.load.latency.set(s.now, float32(20*time.Millisecond))
			if i == good {
				e.load.latency.set(s.now, float32(10*time.Millisecond))
			}
		}
		found := 0
		const picks = 1000
		for range picks {
			s.pass(time.Millisecond)
			i, done := s.pick(t, t.Context())
			if i == good {
				found++
			}
			done(notReached)
		}
		if least := picks * 8 / 10; found < least {
			t.Errorf("of %d endpoints the fast one got %d of %d calls, at least %d", n, found, picks, least)
		}
	}
}

// A survey is for one pick at a time.
func TestSurveyIsClaimedOnce(t *testing.T) {
	var m memory
	now := int64(time.Hour)
	if !m.claim(now) || m.claim(now) || m.claim(now+memorable-1) {
		t.Error("it is claimed more than once within its time")
	}
	if !m.claim(now + memorable) {
		t.Error("it is not due after its time")
	}
}
