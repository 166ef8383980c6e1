package latency

import (
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// maxStripes bounds the memory of a method that many cores record at once.
const maxStripes = 8

// counts are the samples that came in since they were last taken, by bucket. Goroutines that collide are spread over
// several stripes. An octave has memory from its first sample on: 128 bytes a stripe.
type counts struct {
	spread  stripe.Spread
	stripes [maxStripes]atomic.Pointer[plane]
}

type plane [octaves]atomic.Pointer[buckets]

// buckets of one octave fill stripe.LineSize, so that stripes do not share lines.
type buckets [perOctave]atomic.Uint32

// add counts one sample.
func (c *counts) add(octave, bucket int) {
	if p := c.stripes[c.spread.Cell()].Load(); p != nil {
		if b := p[octave].Load(); b != nil {
			n := b[bucket].Load()
			if b[bucket].CompareAndSwap(n, n+1) {
				return
			}
			c.cell(c.spread.Collided(maxStripes), octave)[bucket].Add(1)
			return
		}
	}
	c.cell(c.spread.Cell(), octave)[bucket].Add(1)
}

// cell returns the buckets of an octave in a stripe, which it makes if nobody has.
func (c *counts) cell(stripe, octave int) *buckets {
	return obtain(&obtain(&c.stripes[stripe])[octave])
}

// obtain returns what p points to, and makes it if nobody has.
func obtain[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}

// moveTo takes all counts away and adds them to w.
func (c *counts) moveTo(w *weights) {
	for i := range c.stripes {
		p := c.stripes[i].Load()
		if p == nil {
			continue
		}
		for octave := range p {
			if b := p[octave].Load(); b != nil {
				b.moveTo(w.octave(octave))
			}
		}
	}
}

func (b *buckets) moveTo(sums *[perOctave]float32) {
	for i := range b {
		if b[i].Load() != 0 { // most are 0, and to read costs less than to swap
			sums[i] += float32(b[i].Swap(0))
		}
	}
}
