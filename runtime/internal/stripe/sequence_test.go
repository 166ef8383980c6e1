package stripe

import (
	"math/rand/v2"
	"sync"
	"testing"
)

func TestSequenceIsInTurnForASerialCaller(t *testing.T) {
	s := NewSequence(rand.Uint64)
	first := s.Next()
	for i := uint32(1); i < 1000; i++ {
		if got := s.Next(); got != first+i {
			t.Fatalf("number %d = %d, want %d", i, got, first+i)
		}
	}
}

// Each cell hands out each of its numbers once, whatever the interleaving and wherever the placement moves.
func TestSequenceLosesNothing(t *testing.T) {
	const goroutines, each = 8, 20_000
	s := NewSequence(func() uint64 { return 0 })
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				s.Next()
				if i%1000 == 0 {
					s.collided()
				}
			}
		})
	}
	wg.Wait()
	var sum uint64
	for i := range s.cells {
		sum += uint64(s.cells[i].next.Load())
	}
	if want := uint64(goroutines * (each + each/1000)); sum != want {
		t.Errorf("cells add up to %d, want %d", sum, want)
	}
}

func TestSequenceKeepsAGoroutineInTurnAfterContention(t *testing.T) {
	s := NewSequence(rand.Uint64)
	for range 10 * patience {
		s.collided()
	}
	if s.spread.state.Load()>>32 == 0 {
		t.Fatal("many collisions drew no other placement")
	}
	first := s.Next()
	for i := uint32(1); i < 100; i++ {
		if got := s.Next(); got != first+i {
			t.Fatalf("number %d = %d, want %d", i, got, first+i)
		}
	}
}

func TestSequenceDoesNotAllocate(t *testing.T) {
	s := NewSequence(rand.Uint64)
	s.collided()
	if n := testing.AllocsPerRun(100, func() { s.Next() }); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
}

func BenchmarkSequence(b *testing.B) {
	s := NewSequence(rand.Uint64)
	b.Run("serial", func(b *testing.B) {
		for b.Loop() {
			s.Next()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				s.Next()
			}
		})
	})
}
