package contest

import "testing"

func TestSamples(t *testing.T) {
	// In one round the machine was three times slower, in another only the peer was disturbed.
	s := Samples{{20, 22, 60, 24, 20}, {10, 11, 30, 12, 200}, {5, 5.5, 15, 6, 5}}
	if got := Median(s.Ratios(0, 1)); got != 2 {
		t.Errorf("the ratio is %v, want 2", got)
	}
	if got := Median(s.Added(0, 1)); got != 11 {
		t.Errorf("the difference is %v, want 11", got)
	}
	if got := Median(s.AddedIn(2, 0, 1)); got != 2 {
		t.Errorf("the difference is %v floors, want 2", got)
	}
	if got := Median(s.NetRatios(0, 1, 2)); got != 3 {
		t.Errorf("the ratio beyond the floor is %v, want 3", got)
	}
	if got := s.Median(1); got != 12 {
		t.Errorf("the peer's median is %v, want 12", got)
	}
	if low, high := Interval(s.Ratios(0, 1)); low != 0.1 || high != 2 {
		t.Errorf("the interval is %v to %v, want all rounds, since there are so few", low, high)
	}
}
