package balancer

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/policy"
)

// timeline is a failover with its clock.
type timeline struct {
	*failover
	t    testing.TB
	now  int64
	next int64
}

func newTimeline(t testing.TB, members ...int) *timeline {
	f := newFailover(nil)
	s := &timeline{failover: &f, t: t}
	values := make([]uint32, len(members))
	for i := range values {
		values[i] = uint32(i)
	}
	s.list(values)
	for i, n := range members {
		s.levels[i].standing = standing{members: n, pending: n}
	}
	s.at(0)
	return s
}

// tell sets how many endpoints of a priority are eligible and how many have failed; the rest is about to connect.
func (s *timeline) tell(level, eligible, failed int) *timeline {
	l := &s.levels[level]
	l.eligible, l.takers, l.pending = eligible, eligible, l.members-eligible-failed
	s.at(time.Duration(s.now))
	return s
}

// at goes on to d after the beginning, deciding as often as it asks for on the way.
func (s *timeline) at(d time.Duration) *timeline {
	s.next = s.decide(s.now)
	for s.next != never && s.next <= int64(d) {
		if s.next <= s.now {
			s.t.Fatalf("at %v the alarm is at %v", time.Duration(s.now), time.Duration(s.next))
		}
		s.now = s.next
		s.next = s.decide(s.now)
	}
	s.now = int64(d)
	s.next = s.decide(s.now)
	return s
}

func (s *timeline) want(connected int, shares ...float64) *timeline {
	s.t.Helper()
	n := 0
	for i := range s.levels {
		if s.levels[i].connected {
			n++
		}
		want := 0.0
		if i < len(shares) {
			want = shares[i]
		}
		if math.Abs(s.levels[i].share-want) > 1e-6 {
			s.t.Errorf("at %v the share of priority %d is %.4f, want %.4f", time.Duration(s.now), i, s.levels[i].share, want)
		}
	}
	if n != connected {
		s.t.Errorf("at %v, %d priorities are connected, want %d", time.Duration(s.now), n, connected)
	}
	return s
}

func TestFailover(t *testing.T) {
	const second = time.Second
	t.Run("one endpoint at a time comes up", func(t *testing.T) {
		s := newTimeline(t, 10, 10).want(1)
		for n := range 10 {
			s.tell(0, n+1, 0).want(1, 1)
		}
	})
	t.Run("the connect timeout passes over", func(t *testing.T) {
		s := newTimeline(t, 10, 10, 10)
		s.at(10*second - 1).want(1).at(10 * second).want(2)
		s.tell(1, 10, 0).want(2, 0, 1)
	})
	t.Run("a priority that has failed is passed over at once", func(t *testing.T) {
		s := newTimeline(t, 4, 4, 4).tell(0, 0, 1).want(1).tell(0, 0, 4).want(2)
		s.tell(1, 0, 4).want(3).tell(2, 4, 0).want(3, 0, 0, 1)
	})
	t.Run("calls spill over in proportion", func(t *testing.T) {
		s := newTimeline(t, 10, 10).tell(0, 10, 0).want(1, 1).tell(0, 7, 3).want(1, 1)
		s.tell(0, 5, 5).want(2, 1)
		s.tell(1, 10, 0).want(2, 5/7., 2/7.)
		s.tell(1, 1, 9).want(2, 5/6., 1/6.) // both are short
	})
	t.Run("endpoints that reconnect do not", func(t *testing.T) {
		s := newTimeline(t, 10, 10).tell(0, 10, 0).at(100*second).tell(0, 4, 0).want(1, 1)
		s.at(110*second-1).want(1, 1).at(110*second).want(2, 1)
		s.tell(1, 10, 0).want(2, 4/7., 3/7.)
	})
	t.Run("a connected priority takes over at once", func(t *testing.T) {
		s := newTimeline(t, 1, 1).tell(0, 0, 1).tell(1, 1, 0).tell(0, 1, 0).at(100*second).want(2, 1)
		s.tell(0, 0, 0).want(2, 0, 1)
	})
	t.Run("calls come back after the delay", func(t *testing.T) {
		s := newTimeline(t, 10, 10).tell(0, 0, 10).tell(1, 10, 0).want(2, 0, 1).at(60 * second)
		s.tell(0, 1, 9).at(62*second).tell(0, 10, 0).want(2, 0, 1)
		s.at(65*second).want(2, 1/7., 6/7.) // what it could have carried all the time
		s.at(67*second-1).want(2, 1/7., 6/7.).at(67*second).want(2, 1)
	})
	t.Run("a flap begins the delay anew", func(t *testing.T) {
		s := newTimeline(t, 1, 1).tell(0, 0, 1).tell(1, 1, 0).at(60*second).tell(0, 1, 0).at(64*second).tell(0, 0, 1).tell(0, 1, 0)
		s.at(69*second-1).want(2, 0, 1).at(69*second).want(2, 1)
	})
	t.Run("without a worse one calls come back at once", func(t *testing.T) {
		s := newTimeline(t, 1, 1).tell(0, 0, 1).tell(1, 1, 0).at(60*second).tell(0, 1, 0).want(2, 0, 1)
		s.tell(1, 0, 1).want(2, 1)
	})
	t.Run("a worse one that is short does not hold everything", func(t *testing.T) {
		s := newTimeline(t, 1, 10).tell(0, 0, 1).tell(1, 5, 5).at(60*second).want(2, 0, 1)
		s.tell(0, 1, 0).want(2, 2/7., 5/7.)
	})
	t.Run("no delay", func(t *testing.T) {
		s := newTimeline(t, 1, 1).tell(0, 0, 1).tell(1, 1, 0)
		s.failbackDelay = 0
		s.at(60*second).tell(0, 1, 0).want(2, 1)
	})
	t.Run("retention", func(t *testing.T) {
		s := newTimeline(t, 1, 1).tell(0, 0, 1).tell(1, 1, 0).at(60*second).tell(0, 1, 0)
		s.at(65*second+15*time.Minute-1).want(2, 1).at(65*second+15*time.Minute).want(1, 1)
		if s.next != never {
			t.Errorf("the alarm is at %v although nothing is to come", time.Duration(s.next))
		}
	})
	t.Run("retention without end", func(t *testing.T) {
		s := newTimeline(t, 1, 1)
		s.retention = 0
		s.tell(0, 0, 1).tell(1, 1, 0).tell(0, 1, 0).at(1000*time.Hour).want(2, 1)
	})
	t.Run("nobody is there", func(t *testing.T) {
		newTimeline(t, 3, 3).tell(0, 0, 3).tell(1, 0, 3).want(2)
	})
	t.Run("a better priority appears", func(t *testing.T) {
		s := newTimeline(t, 1).tell(0, 1, 0)
		s.levels[0].value = 5
		s.list([]uint32{2, 5})
		s.levels[0].standing = standing{members: 1, pending: 1}
		s.tell(0, 0, 0).want(2, 0, 1).tell(0, 1, 0).want(2, 0, 1).at(5*second).want(2, 1)
	})
	t.Run("durations without end", func(t *testing.T) {
		s := newTimeline(t, 1, 1)
		s.configure(&policy.Failover{
			ConnectTimeout: policy.Set(time.Duration(math.MaxInt64)),
			FailbackDelay:  policy.Set(time.Duration(math.MaxInt64)),
			Retention:      policy.Set(time.Duration(math.MaxInt64)),
		})
		s.at(1e6*time.Hour).want(1).tell(0, 0, 1).want(2).tell(1, 1, 0).tell(0, 1, 0).at(2e6*time.Hour).want(2, 0, 1)
	})
}

// Whatever happens: the shares come to 1 if anybody takes calls, nobody else has one, the connected priorities are the best
// ones and those in use, and deciding again at the same moment changes nothing.
func TestFailoverInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newTimeline(t, rapid.SliceOfN(rapid.IntRange(1, 12), 1, 4).Draw(rt, "members")...)
		rt.Repeat(map[string]func(*rapid.T){
			"tell": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(s.levels)-1).Draw(rt, "priority")
				if !s.levels[i].connected {
					rt.Skip("not connected")
				}
				eligible := rapid.IntRange(0, s.levels[i].members).Draw(rt, "eligible")
				s.tell(i, eligible, rapid.IntRange(0, s.levels[i].members-eligible).Draw(rt, "failed"))
			},
			"time": func(rt *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, 5 * time.Second, time.Minute, time.Hour}).Draw(rt, "d")
				s.at(time.Duration(s.now) + d)
			},
			"": func(rt *rapid.T) {
				var sum, takers, carried float64
				for i := range s.levels {
					l := &s.levels[i]
					if !l.connected { // gave its connections up
						l.standing = standing{members: l.members, pending: l.members}
					}
					sum += l.share
					takers += float64(l.takers)
					if l.share < 0 || l.share > 1+rounding || l.share > 0 && (l.takers == 0 || !l.connected) {
						rt.Fatalf("priority %d has the share %v: %+v", i, l.share, l)
					}
					if !l.connected && carried < 1-rounding {
						rt.Fatalf("priority %d is not connected, those before carry %v", i, carried)
					}
					carried += capacity(l.eligible+l.pending, l.members, s.minHealthyRatio)
				}
				if takers > 0 && math.Abs(sum-1) > 1e-6 || takers == 0 && sum != 0 {
					rt.Fatalf("the shares come to %v with %v that take calls", sum, takers)
				}
				before := slices.Clone(s.levels)
				s.decide(s.now)
				for i := range before {
					if before[i].connected != s.levels[i].connected || math.Abs(before[i].share-s.levels[i].share) > 1e-6 {
						rt.Fatalf("deciding again changes %+v to %+v", before[i], s.levels[i])
					}
				}
			},
		})
	})
}
