package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNow(t *testing.T) {
	if a, b := Now(), Now(); a <= 0 || b < a {
		t.Errorf("%d and then %d", a, b)
	}
	synctest.Test(t, func(t *testing.T) {
		a := Now()
		time.Sleep(time.Second)
		if b := Now(); a <= 0 || b-a != int64(time.Second) {
			t.Errorf("%d and a second later %d", a, b)
		}
	})
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}
