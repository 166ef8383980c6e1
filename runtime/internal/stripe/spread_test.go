package stripe

import (
	"runtime"
	"testing"
)

func TestSpreadWidensWithCollisions(t *testing.T) {
	var s Spread
	if s.Cell() != 0 || s.InUse() != 1 {
		t.Fatalf("without a collision: cell %d of %d", s.Cell(), s.InUse())
	}
	const cells = 8
	for _, want := range []int{2, 4, 8, 8, 8} {
		if c := s.Collided(cells); c < 0 || c >= want || c != s.Cell() {
			t.Errorf("cell %d of %d, then %d", c, want, s.Cell())
		}
		if got := s.InUse(); got != want {
			t.Errorf("%d cells in use, want %d", got, want)
		}
	}
}

func TestSpreadKeepsToASingleCell(t *testing.T) {
	var s Spread
	for range 10 * patience {
		if c := s.Collided(1); c != 0 {
			t.Fatalf("cell %d of 1", c)
		}
	}
}

// Goroutines come to different cells, sooner or later.
func TestSpreadPlacesGoroutinesApart(t *testing.T) {
	var s Spread
	for range 3 {
		s.Collided(8)
	}
	const goroutines = 64
	cells := make(chan int)
	for range goroutines {
		go func() {
			c := s.Cell()
			cells <- c // nobody ends before all have begun: stacks differ
		}()
	}
	seen := make(map[int]bool)
	for range goroutines {
		seen[<-cells] = true
	}
	if len(seen) < 2 {
		t.Errorf("%d goroutines use %d of 8 cells", goroutines, len(seen))
	}
}

func TestCellsIsAPowerOfTwo(t *testing.T) {
	n := Cells()
	if n&(n-1) != 0 || n < runtime.GOMAXPROCS(0) && n < maxCells || n > maxCells {
		t.Errorf("%d cells at GOMAXPROCS %d", n, runtime.GOMAXPROCS(0))
	}
}
