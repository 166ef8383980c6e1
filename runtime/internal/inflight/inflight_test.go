package inflight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCloseRefusesAndWaitsForTheRunning(t *testing.T) {
	var c Counter
	first, ok := c.Begin()
	if !ok {
		t.Fatal("an open counter refused a call")
	}
	if !c.Close() || c.Close() {
		t.Fatal("Close must tell whether it was the first")
	}
	if _, ok := c.Begin(); ok {
		t.Fatal("a closed counter took a call")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Fatalf("Wait with a call running = %v, want the context's error", err)
	}
	done := make(chan error, 2)
	for range cap(done) {
		go func() { done <- c.Wait(t.Context()) }()
	}
	c.End(first)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoCallOutlivesWait(t *testing.T) {
	for range 200 {
		var c Counter
		var calls sync.WaitGroup
		var running sync.Map
		for i := range 8 {
			calls.Go(func() {
				for {
					token, ok := c.Begin()
					if !ok {
						return
					}
					running.Store(i, true)
					running.Delete(i)
					c.End(token)
				}
			})
		}
		c.Close()
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls.Wait()
		if n := c.Running(); n != 0 {
			t.Fatalf("%d calls are counted after the last ended", n)
		}
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	var c Counter
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if t, ok := c.Begin(); ok {
				c.End(t)
			}
		}
	})
}

// A call that is counted elsewhere keeps Wait waiting, also while it moves to the Counter.
func TestCountElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		var elsewhere atomic.Int64
		c.CountElsewhere(elsewhere.Load)
		elsewhere.Store(2)
		c.Close()
		done := make(chan error, 1)
		go func() { done <- c.Wait(t.Context()) }()
		expect := func(running int64, waits bool) {
			t.Helper()
			synctest.Wait()
			if c.Running() != running || len(done) == 0 != waits {
				t.Fatalf("%d calls run, and Wait waits: %v; want %d and %v", c.Running(), len(done) == 0, running, waits)
			}
		}
		expect(2, true)
		elsewhere.Add(-1)
		c.Left()
		expect(1, true)
		token := c.Enter() // although it is closed
		elsewhere.Add(-1)
		c.Left()
		expect(1, true)
		c.End(0) // nobody's
		expect(1, true)
		c.End(token)
		expect(0, false)
	})
}
