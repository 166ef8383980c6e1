package contest

import (
	"math"
	"slices"
)

// Samples are measurements of several contenders, taken side by side: by contender, one for each round. What compares two of
// them does so within a round, and yields one value a round, whose [Median] says what is typical: what hits a single round,
// or all contenders of one alike, changes nothing.
type Samples [][]float64

// Rounds returns how many rounds were measured.
func (s Samples) Rounds() int { return len(s[0]) }

// Median returns the median of contender i.
func (s Samples) Median(i int) float64 { return Median(s[i]) }

// Ratios returns contender i over contender to.
func (s Samples) Ratios(i, to int) []float64 {
	return s.each(func(r int) float64 { return s[i][r] / s[to][r] })
}

// Added returns what contender i has beyond contender floor.
func (s Samples) Added(i, floor int) []float64 {
	return s.each(func(r int) float64 { return s[i][r] - s[floor][r] })
}

// AddedIn returns what contender i has beyond contender peer, in units of contender unit.
func (s Samples) AddedIn(unit, i, peer int) []float64 {
	return s.each(func(r int) float64 { return (s[i][r] - s[peer][r]) / s[unit][r] })
}

// NetRatios returns what contender i has beyond contender floor, over what contender to has beyond it.
func (s Samples) NetRatios(i, to, floor int) []float64 {
	return s.each(func(r int) float64 { return (s[i][r] - s[floor][r]) / (s[to][r] - s[floor][r]) })
}

// OverNet returns contender i over what contender to has beyond contender floor.
func (s Samples) OverNet(i, to, floor int) []float64 {
	return s.each(func(r int) float64 { return s[i][r] / (s[to][r] - s[floor][r]) })
}

func (s Samples) each(f func(round int) float64) []float64 {
	out := make([]float64, s.Rounds())
	for r := range out {
		out[r] = f(r)
	}
	return out
}

// Interval returns the bounds between which the true median lies with 95 % confidence, whatever the distribution of the
// noise: two order statistics (Conover, Practical Nonparametric Statistics, 3.2). There is at least one value.
func Interval(values []float64) (low, high float64) {
	values = slices.Sorted(slices.Values(values))
	n := float64(len(values))
	half := 1.96 * math.Sqrt(n) / 2
	return values[max(int(n/2-half), 0)], values[min(int(math.Ceil(n/2+half)), len(values)-1)]
}

// Median returns the median of values, of which there is at least one.
func Median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
