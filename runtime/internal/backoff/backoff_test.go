package backoff

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBound(t *testing.T) {
	retry := Config{Initial: 25 * time.Millisecond, Max: time.Second, Multiplier: 2}
	tests := []struct {
		name   string
		config Config
		retry  int
		want   time.Duration
	}{
		{"the first", retry, 1, 25 * time.Millisecond},
		{"before the first", retry, 0, 25 * time.Millisecond},
		{"the third", retry, 3, 100 * time.Millisecond},
		{"at the ceiling", retry, 7, time.Second},
		{"far beyond", retry, math.MaxInt, time.Second},
		{"whole numbers stay whole", Config{200 * time.Millisecond, time.Minute, 1.6}, 3, 512 * time.Millisecond},
		{"does not grow", Config{time.Second, time.Minute, 1}, 1000, time.Second},
		{"the ceiling is lower", Config{time.Minute, time.Second, 2}, 1, time.Second},
		{"no ceiling", Config{time.Second, math.MaxInt64, 100}, 1000, math.MaxInt64},
		{"no pause", Config{}, 5, 0},
		{"no pause, yet growth", Config{Max: time.Second, Multiplier: 100}, math.MaxInt, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.config.Bound(tt.retry); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func drawConfig(t *rapid.T) Config {
	initial := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "initial"))
	return Config{
		Initial:    initial,
		Max:        time.Duration(rapid.Int64Range(int64(initial), math.MaxInt64).Draw(t, "max")),
		Multiplier: rapid.Float64Range(1, 100).Draw(t, "multiplier"),
	}
}

func TestDelayIsWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		retry, random := rapid.IntRange(1, 100).Draw(t, "retry"), rapid.Uint64().Draw(t, "random")
		bound := c.Bound(retry)
		if bound < 0 || bound > c.Max || bound > c.Bound(retry+1) {
			t.Fatalf("bound %v of at most %v, then %v", bound, c.Max, c.Bound(retry+1))
		}
		if d := c.Delay(retry, random); d < 0 || d > bound {
			t.Fatalf("delay %v, bound %v", d, bound)
		}
		if lowest, highest := c.Delay(retry, 0), c.Delay(retry, math.MaxUint64); lowest != 0 || highest != bound {
			t.Fatalf("delays from %v to %v, want 0 to %v", lowest, highest, bound)
		}
	})
}

func TestDelayIsEven(t *testing.T) {
	c := Config{Initial: 9, Max: 9, Multiplier: 2}
	counts := make(map[time.Duration]int)
	const draws = 10_000
	sum := time.Duration(0)
	for i := range uint64(draws) {
		d := c.Delay(1, i*(math.MaxUint64/draws))
		counts[d]++
		sum += d
	}
	if mean := sum / draws; mean != c.Mean(1) {
		t.Errorf("mean: got %d, want %d", mean, c.Mean(1))
	}
	for d := range time.Duration(10) {
		if n := counts[d]; n < draws/10-1 || n > draws/10+1 {
			t.Errorf("%d: %d of %d draws", d, n, draws)
		}
	}
}

func TestJitter(t *testing.T) {
	tests := []struct {
		d             time.Duration
		share, random float64
		want          time.Duration
	}{
		{time.Second, 0.2, 0, 800 * time.Millisecond},
		{time.Second, 0.2, 0.5, time.Second},
		{time.Second, 0, 0.9, time.Second},
		{time.Second, 1, 0.75, 1500 * time.Millisecond},
		{math.MaxInt64, 1, 0.9, math.MaxInt64},
		{0, 1, 0.9, 0},
	}
	for _, tt := range tests {
		if got := Jitter(tt.d, tt.share, tt.random); got != tt.want {
			t.Errorf("Jitter(%v, %v, %v): got %v, want %v", tt.d, tt.share, tt.random, got, tt.want)
		}
	}
}

func BenchmarkDelay(b *testing.B) {
	c := Config{Initial: 25 * time.Millisecond, Max: time.Second, Multiplier: 2}
	for b.Loop() {
		c.Delay(3, 0x9E3779B97F4A7C15)
	}
}
