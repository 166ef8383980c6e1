package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNow(t *testing.T) {
	if a, b := Now(), Now(); a <= 0 || b < a {
		t.Errorf("%d and then %d", a, b)
	}
	synctest.Test(t, func(t *testing.T) {
		a := Now()
		time.Sleep(time.Second)
		if b := Now(); a <= 0 || b-a != int64(time.Second) {
			t.Errorf("%d and a second later %d", a, b)
		}
	})
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}

func TestTimeIsWhatTheTimeOfDayWas(t *testing.T) {
	check := func(t *testing.T, tolerance time.Duration) {
		t.Helper()
		for range 3 {
			before := time.Now()
			now := Now()
			got := Time(now)
			if off := got.Sub(before); off < 0 || off > time.Since(before)+tolerance {
				t.Errorf("Time(Now()) is %v after what the clock showed before", off)
			}
			if wall := got.Round(0).Sub(before.Round(0)); wall < -tolerance || wall > time.Since(before)+tolerance {
				t.Errorf("the time of day is off by %v", wall)
			}
			if d := Time(now + int64(time.Minute)).Sub(got); d < time.Minute-tolerance || d > time.Minute+tolerance {
				t.Errorf("a minute later is %v later", d)
			}
		}
	}
	const step = time.Millisecond // of the time of day, while a test runs
	check(t, step)
	for range 2 { // bubbles, and in between none
		synctest.Test(t, func(t *testing.T) {
			check(t, 0)
			time.Sleep(time.Hour)
			check(t, 0)
			if !Simulated(Now()) {
				t.Error("a bubble is not known as one")
			}
		})
		check(t, step)
	}
	if Simulated(Now()) {
		t.Error("the real time is taken for that of a bubble")
	}
}
