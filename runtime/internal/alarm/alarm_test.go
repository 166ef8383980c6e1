package alarm

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// bell counts how often it is rung.
type bell struct{ rung atomic.Int32 }

func (b *bell) Ring() { b.rung.Add(1) }

func TestRingsOnceAndOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bell
		a := Set(clock.Now(), time.Second, &b)
		time.Sleep(time.Second - 1)
		synctest.Wait()
		if n := b.rung.Load(); n != 0 {
			t.Fatalf("rung %d times before its time", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := b.rung.Load(); n != 1 {
			t.Fatalf("rung %d times when its time has come, want 1", n)
		}
		if a.Stop() {
			t.Error("Stop says that an alarm will not ring that has rung")
		}
		time.Sleep(time.Hour)
		if n := b.rung.Load(); n != 1 {
			t.Errorf("rung %d times, want 1", n)
		}
	})
}

func TestStoppedDoesNotRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bell
		if !Set(clock.Now(), time.Second, &b).Stop() {
			t.Error("Stop says that an alarm has rung whose time has not come")
		}
		time.Sleep(time.Hour)
		if n := b.rung.Load(); n != 0 {
			t.Errorf("rung %d times", n)
		}
	})
}

// A timer must not leave the bubble that it was made in, nor get into another.
func TestBubblesShareNoTimer(t *testing.T) {
	for range 3 {
		Set(clock.Now(), time.Hour, new(bell)).Stop()
		synctest.Test(t, func(*testing.T) {
			Set(clock.Now(), time.Hour, new(bell)).Stop()
		})
	}
}

// Alarms that are used again never ring for a target whose alarm was stopped.
func TestStoppedInTimeStaysSilent(t *testing.T) {
	var rings, stops atomic.Int32
	var wg sync.WaitGroup
	const each = 2000
	for range 4 {
		wg.Go(func() {
			for i := range each {
				b := &once{rings: &rings}
				a := Set(clock.Now(), time.Duration(i%3)*time.Microsecond, b)
				time.Sleep(time.Duration(i%5) * time.Microsecond)
				if a.Stop() {
					b.stopped.Store(true)
					stops.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for rings.Load()+stops.Load() < 4*each { // those that ring at the moment
		time.Sleep(time.Millisecond)
	}
	if n := rings.Load() + stops.Load(); n != 4*each {
		t.Errorf("%d alarms were stopped or rang, of %d", n, 4*each)
	}
}

// once may be rung once, and not after it was stopped.
type once struct {
	rings   *atomic.Int32
	stopped atomic.Bool
}

func (o *once) Ring() {
	if o.stopped.Load() {
		panic("rung after Stop")
	}
	o.rings.Add(1)
}

func TestSetDoesNotAllocate(t *testing.T) {
	var b bell
	Set(clock.Now(), time.Hour, &b).Stop()
	if n := testing.AllocsPerRun(1000, func() { Set(clock.Now(), time.Hour, &b).Stop() }); n >= 1 {
		t.Errorf("an alarm that is set and stopped allocates %v objects", n)
	}
}

// What a timer of its own costs beside one that is used again.
func BenchmarkSet(b *testing.B) {
	var target bell
	b.Run("alarm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Set(clock.Now(), time.Hour, &target).Stop()
		}
	})
	b.Run("time.AfterFunc", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			time.AfterFunc(time.Hour, target.Ring).Stop()
		}
	})
}
