package latency

import (
	"testing"
	"time"
)

func BenchmarkRecord(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		h := new(Histogram)
		d := time.Millisecond
		for b.Loop() {
			h.Record(d)
			d = d&(1<<22-1) + 100_001
		}
	})
	b.Run("parallel", func(b *testing.B) {
		h := new(Histogram)
		b.RunParallel(func(pb *testing.PB) {
			d := time.Millisecond
			for pb.Next() {
				h.Record(d)
				d = d&(1<<22-1) + 100_001
			}
		})
	})
	b.Run("parallel, one bucket", func(b *testing.B) {
		h := new(Histogram)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				h.Record(time.Millisecond)
			}
		})
	})
}

func BenchmarkDelay(b *testing.B) {
	filled := func() *Histogram {
		h := new(Histogram)
		for i := range 10_000 {
			h.Record(time.Duration(i) * 100 * time.Microsecond)
		}
		return h
	}
	b.Run("cached", func(b *testing.B) {
		c := NewCached(filled(), 0.95)
		for b.Loop() {
			c.Delay(1)
		}
	})
	b.Run("cached, parallel", func(b *testing.B) {
		c := NewCached(filled(), 0.95)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Delay(1)
			}
		})
	})
	b.Run("computed", func(b *testing.B) {
		c := NewCached(filled(), 0.95)
		now := int64(0)
		for b.Loop() {
			now += int64(refresh)
			c.Delay(now)
		}
	})
}
