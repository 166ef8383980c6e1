package schedule

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/internal/backoff"
)

const ms = time.Millisecond

func TestTimeout(t *testing.T) {
	pauses := backoff.Config{Initial: 20 * ms, Max: time.Second, Multiplier: 2}
	tests := []struct {
		name             string
		plan             Plan
		attempt          int
		remaining, floor time.Duration
		ample            time.Duration
		want             time.Duration
		ok               bool
	}{
		{"no limit", Plan{MaxAttempts: 3, Backoff: pauses}, 1, Unlimited, 5 * ms, 0, Unlimited, true},
		{"the call's alone is not divided", Plan{MaxAttempts: 3, Backoff: pauses}, 1, 1000 * ms, 5 * ms, 0, 1000 * ms, true},
		{"the attempt's alone", Plan{400 * ms, 3, pauses}, 1, Unlimited, 5 * ms, 0, 400 * ms, true},
		{"time for all", Plan{400 * ms, 3, pauses}, 1, 2000 * ms, 5 * ms, 0, 400 * ms, true},
		{"half after the pause", Plan{400 * ms, 2, pauses}, 1, 300 * ms, 5 * ms, 0, 145 * ms, true},
		{"a third after both pauses", Plan{400 * ms, 3, pauses}, 1, 300 * ms, 5 * ms, 0, 90 * ms, true},
		{"half after the second pause", Plan{400 * ms, 3, pauses}, 2, 300 * ms, 5 * ms, 0, 140 * ms, true},
		{"the last one takes all", Plan{400 * ms, 3, pauses}, 3, 300 * ms, 5 * ms, 0, 300 * ms, true},
		{"a third is below the floor, half is not", Plan{50 * ms, 3, pauses}, 1, 80 * ms, 20 * ms, 0, 35 * ms, true},
		{"no time for another", Plan{50 * ms, 3, pauses}, 1, 30 * ms, 20 * ms, 0, 30 * ms, true},
		{"a third is not ample, half is", Plan{50 * ms, 3, pauses}, 1, 80 * ms, 5 * ms, 20 * ms, 35 * ms, true},
		{"no share is ample", Plan{300 * ms, 3, pauses}, 1, 100 * ms, 5 * ms, 60 * ms, 100 * ms, true},
		{"ample time for all", Plan{400 * ms, 3, pauses}, 1, 300 * ms, 5 * ms, 90 * ms, 90 * ms, true},
		{"a retry with less than ample", Plan{50 * ms, 3, pauses}, 3, 10 * ms, 5 * ms, 20 * ms, 10 * ms, true},
		{"unknown floor", Plan{50 * ms, 2, pauses}, 1, 50 * ms, 0, 0, 20 * ms, true},
		{"a retry below the floor", Plan{50 * ms, 3, pauses}, 2, 4 * ms, 5 * ms, 0, 0, false},
		{"a retry at the floor", Plan{50 * ms, 3, pauses}, 3, 5 * ms, 5 * ms, 0, 5 * ms, true},
		{"the first one below the floor", Plan{50 * ms, 3, pauses}, 1, 4 * ms, 5 * ms, 0, 4 * ms, true},
		{"a hedge", Plan{PerAttempt: 50 * ms}, 2, 60 * ms, 5 * ms, 0, 50 * ms, true},
		{"a hedge below the floor", Plan{PerAttempt: 50 * ms}, 2, 4 * ms, 5 * ms, 0, 0, false},
		{"the attempt's is below the floor", Plan{3 * ms, 3, pauses}, 2, 1000 * ms, 5 * ms, 0, 3 * ms, true},
		{"over", Plan{}, 1, 0, 0, 0, 0, false},
		{"long over", Plan{50 * ms, 3, pauses}, 1, math.MinInt64, 0, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d, ok := tt.plan.Timeout(tt.attempt, tt.remaining, Latency{Fastest: tt.floor, Ample: tt.ample}); d != tt.want || ok != tt.ok {
				t.Errorf("got %v, %v, want %v, %v", d, ok, tt.want, tt.ok)
			}
		})
	}
}

// span draws a duration of any magnitude.
func span(t *rapid.T, label string) time.Duration {
	top := time.Duration(1) << rapid.IntRange(0, 62).Draw(t, label+" bits")
	return time.Duration(rapid.Int64Range(0, int64(top-1+top)).Draw(t, label))
}

func drawPlan(t *rapid.T) Plan {
	return Plan{
		PerAttempt:  span(t, "per attempt"),
		MaxAttempts: rapid.IntRange(0, 5).Draw(t, "attempts"),
		Backoff: backoff.Config{
			Initial:    span(t, "initial"),
			Max:        span(t, "max"),
			Multiplier: rapid.Float64Range(1, 100).Draw(t, "multiplier"),
		},
	}
}

func TestTimeoutProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, remaining, floor, ample := drawPlan(t), span(t, "remaining"), span(t, "floor"), span(t, "ample")
		attempt := rapid.IntRange(1, 5).Draw(t, "attempt")
		d, ok := p.Timeout(attempt, remaining, Latency{Fastest: floor, Ample: ample})
		if want := remaining > 0 && (attempt == 1 || remaining >= floor); ok != want {
			t.Fatalf("begins: %v, want %v", ok, want)
		}
		if !ok {
			if d != 0 {
				t.Fatalf("does not begin, and takes %v", d)
			}
			return
		}
		if d <= 0 || d > remaining || p.PerAttempt > 0 && d > p.PerAttempt {
			t.Fatalf("%v is longer than %v or %v, or no time", d, remaining, p.PerAttempt)
		}
		if p.PerAttempt == 0 && d != remaining {
			t.Fatalf("%v is not all that remains", d)
		}
		if p.PerAttempt == 0 {
			return
		}
		// It is given the share of the greatest number of attempts that could each have ample time, this one included.
		for n := p.MaxAttempts - attempt + 1; n > 1; n-- {
			left := float64(remaining)
			for i := range n - 1 {
				left -= float64(p.Backoff.Mean(attempt + i))
			}
			share, least := left/float64(n), float64(max(floor, ample, 1))
			if share < least*(1-rounding) {
				continue
			}
			want := min(share, float64(p.PerAttempt))
			if share > least*(1+rounding) && math.Abs(float64(d)-want) > 1+want*rounding {
				t.Fatalf("%v is not %v, the share of %d attempts", d, time.Duration(want), n)
			}
			return
		}
		if d != min(p.PerAttempt, remaining) {
			t.Fatalf("%v is not %v, all that there is for the last one", d, min(p.PerAttempt, remaining))
		}
	})
}

// rounding is how precise the model is.
const rounding = 1e-9

// All attempts hang. Whatever the plan, the call is over in time, and no attempt that begins is shorter than the
// floor but for the first, or for one whose own timeout is.
func TestScheduleOfACallThatHangs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, remaining, floor, ample := drawPlan(t), span(t, "remaining"), span(t, "floor"), span(t, "ample")
		p.MaxAttempts = max(p.MaxAttempts, 1)
		for attempt := 1; attempt <= p.MaxAttempts; attempt++ {
			if attempt > 1 {
				remaining -= min(remaining, p.Backoff.Delay(attempt-1, rapid.Uint64().Draw(t, "random")))
			}
			d, ok := p.Timeout(attempt, remaining, Latency{Fastest: floor, Ample: ample})
			if !ok {
				return
			}
			if attempt > 1 && d < floor && d != p.PerAttempt {
				t.Fatalf("attempt %d of %v is below the floor of %v", attempt, d, floor)
			}
			if remaining -= d; remaining < 0 {
				t.Fatalf("attempt %d is too long by %v", attempt, -remaining)
			}
		}
	})
}

func BenchmarkTimeout(b *testing.B) {
	p := Plan{100 * ms, 3, backoff.Config{Initial: 25 * ms, Max: time.Second, Multiplier: 2}}
	for b.Loop() {
		p.Timeout(1, time.Second, Latency{Fastest: 5 * ms})
	}
}
