package latency

import (
	"math/bits"
	"time"
)

// Durations are counted in log-linear buckets, as in HdrHistogram: each doubling of the duration is an octave, and
// each octave has perOctave buckets of one width. A duration is reported as the middle of its bucket, which is at
// most 1/(2*perOctave), 1.6 %, away from it.
const (
	octaveBits = 5
	perOctave  = 1 << octaveBits
	// The first octave begins at 512 ns, the last one ends at 2^42 ns, 73 minutes. What lies outside counts as the
	// shortest or the longest that lies within.
	lowestBit  = 9
	highestBit = 41
	octaves    = highestBit - lowestBit + 1
)

// bucketOf returns the octave of d and the bucket in it.
func bucketOf(d time.Duration) (octave, bucket int) {
	n := uint64(min(max(d, 1<<lowestBit), 1<<(highestBit+1)-1))
	top := bits.Len64(n) - 1
	return top - lowestBit, int(n>>(top-octaveBits)) & (perOctave - 1)
}

// middleOf returns the middle of a bucket.
func middleOf(octave, bucket int) time.Duration {
	width := time.Duration(1) << (octave + lowestBit - octaveBits)
	return time.Duration(perOctave+bucket)*width + width/2
}
