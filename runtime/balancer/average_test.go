package balancer

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An average follows the same values as one in float64 whose clock counts the same units.
func TestAverageFollowsTheFormula(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fallsIn := time.Duration(rapid.Int64Range(int64(5*time.Millisecond), int64(time.Minute)).Draw(rt, "fall"))
		risesIn := time.Duration(0)
		if rapid.Bool().Draw(rt, "rises slowly") {
			risesIn = fallsIn / 3
		}
		rise, fall := rate(0), rateOf(float64(fallsIn))
		if risesIn != 0 {
			rise = rateOf(float64(risesIn))
		}
		var a average
		now, want, stamp := int64(0), 0.0, int64(0)
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			now += rapid.Int64Range(0, int64(fallsIn)).Draw(rt, "pause")
			x := rapid.Float64Range(1e3, 1e10).Draw(rt, "value")
			a.move(now, float32(x), rise, fall)
			passed := time.Duration((now>>stampUnit - stamp>>stampUnit) << stampUnit)
			constant := fallsIn
			if x > want {
				constant = risesIn
			}
			switch {
			case want == 0 || constant == 0:
				want, stamp = x, now
			case passed > 0:
				keep := math.Exp(-float64(passed) / float64(constant))
				want, stamp = want*keep+x*(1-keep), now
			}
			if got := float64(a.read(now).value); math.Abs(got-want) > 0.002*want {
				rt.Fatalf("average = %v, want %v", got, want)
			}
			later := now + rapid.Int64Range(0, int64(3*fallsIn)).Draw(rt, "later")
			faded := want * math.Exp(-float64((later>>stampUnit-stamp>>stampUnit)<<stampUnit)/float64(fallsIn))
			if got := float64(a.read(later).at(fall)); math.Abs(got-faded) > 0.003*want {
				rt.Fatalf("average later = %v, want %v", got, faded)
			}
		}
	})
}

func TestRateAfter(t *testing.T) {
	for units := int32(0); units < 5000; units++ {
		r := rate(0.01)
		want := math.Exp2(-0.01 * float64(units))
		if got := float64(r.after(units)); math.Abs(got-want) > 0.0003*want {
			t.Fatalf("after(%d) = %v, want %v", units, got, want)
		}
	}
	if got := rate(1).after(math.MaxInt32); got != 0 {
		t.Errorf("after for ever = %v, want 0", got)
	}
}

// A clock that was read just before the average moved sees it as it is now.
func TestAverageReadBeforeItMoved(t *testing.T) {
	var a average
	now := int64(time.Hour)
	a.set(now, 5)
	if got := a.read(now - int64(5*time.Millisecond)); got != (reading{value: 5}) {
		t.Errorf("reading = %+v, want 5 as of now", got)
	}
}
