package breaker

import "testing"

func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		name  string
		every int // one call of so many fails
	}{{"healthy", 0}, {"one of 4 fails", 4}} {
		run := func(br *Breaker, i int, now int64) {
			p, _ := br.Allow(now)
			o := Success
			if c.every > 0 && i%c.every == 0 {
				o = Failure
			}
			br.Done(p, now, o, 10)
		}
		b.Run(c.name+"/serial", func(b *testing.B) {
			br, now := New(usual, nil), int64(0)
			warmUp(br)
			for i := 0; b.Loop(); i++ {
				now += 100
				run(br, i, now)
			}
		})
		b.Run(c.name+"/parallel", func(b *testing.B) {
			br := New(usual, nil)
			warmUp(br)
			b.RunParallel(func(pb *testing.PB) {
				for i, now := 0, int64(0); pb.Next(); i++ {
					now += 100
					run(br, i, now)
				}
			})
		})
	}
	b.Run("open", func(b *testing.B) {
		br := New(usual, nil)
		for range 4 {
			p, _ := br.Allow(0)
			br.Done(p, 0, Failure, 0)
		}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				br.Allow(1)
			}
		})
	})
}

// warmUp lets enough successes in that the first failures open nothing.
func warmUp(b *Breaker) {
	for range 100 {
		p, _ := b.Allow(0)
		b.Done(p, 0, Success, 0)
	}
}
