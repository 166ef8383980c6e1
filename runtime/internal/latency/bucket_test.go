package latency

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	shortest = 1 << lowestBit
	longest  = 1<<(highestBit+1) - 1
	// precision is how far the middle of a bucket is from what is in it at most, as a share.
	precision = 1.0 / (2 * perOctave)
)

func TestBucketIsPrecise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(math.Exp2(rapid.Float64Range(lowestBit, highestBit+0.999).Draw(t, "log2")))
		got := middleOf(bucketOf(d))
		if off := math.Abs(float64(got-d)) / float64(d); off > precision {
			t.Fatalf("%v counts as %v: %.2f %% off", d, got, 100*off)
		}
	})
}

func TestBucketsAreInOrderAndWithoutGaps(t *testing.T) {
	last := time.Duration(0)
	for octave := range octaves {
		for bucket := range perOctave {
			d := middleOf(octave, bucket)
			if o, b := bucketOf(d); o != octave || b != bucket || d <= last {
				t.Fatalf("octave %d, bucket %d: its middle %v, after %v, is in octave %d, bucket %d", octave, bucket, d, last, o, b)
			}
			last = d
		}
	}
}

func TestBucketOfTheExtremes(t *testing.T) {
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, shortest} {
		if o, b := bucketOf(d); o != 0 || b != 0 {
			t.Errorf("%d ns: octave %d, bucket %d", d, o, b)
		}
	}
	for _, d := range []time.Duration{longest, longest + 1, math.MaxInt64} {
		if o, b := bucketOf(d); o != octaves-1 || b != perOctave-1 {
			t.Errorf("%d ns: octave %d, bucket %d", d, o, b)
		}
	}
}
