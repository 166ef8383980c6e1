package balancer

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The table gives each index its share to the last of 2^32 parts, and a column's worth of rounding.
func TestAliasShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint32Range(1, math.MaxUint32), 1, 200).Draw(rt, "weights")
		a := newAlias(weights)
		shares, sum := make([]float64, len(weights)), 0.0
		for i, c := range a.columns {
			shares[i] += float64(c.keep)
			shares[c.other] += 1<<32 - float64(c.keep)
		}
		for _, w := range weights {
			sum += float64(w)
		}
		for i, w := range weights {
			got, want := shares[i]/(1<<32*float64(len(weights))), float64(w)/sum
			if math.Abs(got-want) > 1e-9 {
				rt.Fatalf("weights %v: index %d has share %v, want %v", weights, i, got, want)
			}
		}
	})
}

func TestAliasDrawsEveryColumn(t *testing.T) {
	a := newAlias([]uint32{1, 2, 1})
	for i, c := range a.columns {
		if c.keep > 0 {
			bits := (uint64(i)*(1<<32)/3+1)<<32 | uint64(c.keep-1)
			if got := a.draw(bits); got != i {
				t.Errorf("draw(%#x) = %d, want %d", bits, got, i)
			}
		}
		if c.keep < math.MaxUint32 {
			bits := (uint64(i)*(1<<32)/3+1)<<32 | uint64(c.keep)
			if got := a.draw(bits); got != int(c.other) {
				t.Errorf("draw(%#x) = %d, want %d", bits, got, c.other)
			}
		}
	}
}
