package balancer

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// feed has l follow calls that take as long as next says, one each period, and returns the time after the last.
func feed(l *latency, now int64, calls int, period time.Duration, next func() time.Duration) int64 {
	smooth := adaptiveSmoothing()
	for range calls {
		now += int64(period)
		l.move(now, float32(next()), smooth.rise, smooth.fall)
	}
	return now
}

func exactly(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

func (l *latency) millis() float32 { return l.last() / float32(time.Millisecond) }

// A few calls tell a change, one does not.
func TestLatencyFollowsAChange(t *testing.T) {
	const period = 40 * time.Millisecond
	var l latency
	now := feed(&l, 0, 500, period, exactly(20*time.Millisecond))
	now = feed(&l, now, 1, period, exactly(time.Second))
	if got := l.millis(); got > 30 {
		t.Errorf("one call of a second among many of 20 ms makes the average %v ms", got)
	}
	now = feed(&l, now, 100, period, exactly(20*time.Millisecond))
	now = feed(&l, now, 4, period, exactly(100*time.Millisecond))
	if got := l.millis(); got < 60 {
		t.Errorf("after four calls of 100 ms instead of 20 the average is %v ms", got)
	}
	now = feed(&l, now, 500, period, exactly(100*time.Millisecond))
	feed(&l, now, 1, 2*time.Second, exactly(20*time.Millisecond))
	if got := l.millis(); got > 25 {
		t.Errorf("a fast call after two seconds without any leaves the average at %v ms", got)
	}
}

// Chance is averaged: what does not change stays within 15 % of its mean.
func TestLatencyIsSteady(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	spread := func() time.Duration { return time.Duration((0.5 + random.Float64()) * float64(20*time.Millisecond)) }
	var l latency
	now := feed(&l, 0, 300, 20*time.Millisecond, spread)
	for range 1000 {
		now = feed(&l, now, 1, 20*time.Millisecond, spread)
		if got := l.millis(); got < 17 || got > 23 {
			t.Fatalf("the average is %v ms", got)
		}
	}
}

// A rise of 0 is that of peak_ewma: a peak counts at once.
func TestLatencyTakesPeaksWhole(t *testing.T) {
	smooth := peakSmoothing(10 * time.Second)
	var l latency
	l.move(0, 10, smooth.rise, smooth.fall)
	l.move(1<<30, 500, smooth.rise, smooth.fall)
	if got := l.last(); got != 500 {
		t.Errorf("the average is %v, want 500", got)
	}
}

// The average is always between the least and the greatest value, and whether a call is due does not depend on it.
func TestLatencyStaysWithinItsValues(t *testing.T) {
	smooth := adaptiveSmoothing()
	rapid.Check(t, func(rt *rapid.T) {
		var l latency
		now, least, greatest := int64(0), float32(0), float32(0)
		asked := uint32(0)
		for k := range rapid.IntRange(1, 400).Draw(rt, "steps") {
			now += rapid.Int64Range(0, int64(3*time.Second)).Draw(rt, "pause")
			if unit := uint32(now>>stampUnit) & dueMask; l.due(now) != (unit != asked) {
				rt.Fatalf("due at unit %d after %d", unit, asked)
			} else {
				asked = unit
			}
			x := rapid.Float32Range(1, 1e12).Draw(rt, "latency")
			if k == 0 {
				least, greatest = x, x
			}
			least, greatest = min(least, x), max(greatest, x)
			l.move(now, x, smooth.rise, smooth.fall)
			if got := l.last(); got < least*0.999 || got > greatest*1.001 {
				rt.Fatalf("the average is %v of values from %v to %v", got, least, greatest)
			}
		}
	})
}
