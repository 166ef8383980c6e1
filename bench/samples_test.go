package bench_test

import (
	"math"
	"slices"
	"testing"
)

// samples are measurements of several contenders, taken side by side: by contender, one for each round. The first contender
// is ours, the second its peer. Their statistics compare within a round, and are medians over the rounds: what hits a single
// round, or all of them alike, changes nothing.
type samples [][]float64

func (s samples) rounds() int { return len(s[0]) }

// median returns the median of contender i.
func (s samples) median(i int) float64 { return median(slices.Clone(s[i])) }

// ratio returns the median of contender i over the peer.
func (s samples) ratio(i int) float64 { return median(s.ratios(i)) }

// added returns the median of what contender i has beyond the peer.
func (s samples) added(i int) float64 {
	added := make([]float64, s.rounds())
	for r := range added {
		added[r] = s[i][r] - s[1][r]
	}
	return median(added)
}

// addedIn returns the median of what contender i has beyond the peer, in units of contender unit.
func (s samples) addedIn(unit, i int) float64 {
	added := make([]float64, s.rounds())
	for r := range added {
		added[r] = (s[i][r] - s[1][r]) / s[unit][r]
	}
	return median(added)
}

// interval returns the bounds between which the true ratio of contender i lies with 95 % confidence, whatever the
// distribution of the noise: two order statistics (Conover, Practical Nonparametric Statistics, 3.2).
func (s samples) interval(i int) (low, high float64) {
	ratios := s.ratios(i)
	slices.Sort(ratios)
	n := float64(len(ratios))
	half := 1.96 * math.Sqrt(n) / 2
	return ratios[max(int(n/2-half), 0)], ratios[min(int(math.Ceil(n/2+half)), len(ratios)-1)]
}

func (s samples) ratios(i int) []float64 {
	ratios := make([]float64, s.rounds())
	for r := range ratios {
		ratios[r] = s[i][r] / s[1][r]
	}
	return ratios
}

// median reorders values. There is at least one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func TestSamples(t *testing.T) {
	// In one round the machine was three times slower, in another only the peer was disturbed.
	s := samples{{20, 22, 60, 24, 20}, {10, 11, 30, 12, 200}}
	if got := s.ratio(0); got != 2 {
		t.Errorf("the ratio is %v, want 2", got)
	}
	if got := s.added(0); got != 11 {
		t.Errorf("the difference is %v, want 11", got)
	}
	if got := s.median(1); got != 12 {
		t.Errorf("the peer's median is %v, want 12", got)
	}
	if low, high := s.interval(0); low != 0.1 || high != 2 {
		t.Errorf("the interval is %v to %v, want all rounds, since there are so few", low, high)
	}
}
