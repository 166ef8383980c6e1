package deadline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
)

type key struct{}

var errPolicy = errors.New("the policy's deadline")

func TestExpiryFiresDoneWithTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		defer cancel(nil)
		c := New(parent, time.Second, errPolicy)
		defer c.Release()
		child, cancelChild := context.WithCancel(c)
		defer cancelChild()
		if d, ok := c.Deadline(); !ok || !d.Equal(time.Now().Add(time.Second)) {
			t.Fatalf("Deadline() = %v, %v", d, ok)
		}
		<-child.Done()
		if c.Err() != context.DeadlineExceeded || context.Cause(c) != errPolicy || !c.Expired() {
			t.Fatalf("Err = %v, Cause = %v, Expired = %v", c.Err(), context.Cause(c), c.Expired())
		}
		if child.Err() != context.DeadlineExceeded || context.Cause(child) != errPolicy {
			t.Fatalf("child: Err = %v, Cause = %v", child.Err(), context.Cause(child))
		}
		cancel(errors.New("later"))
		if context.Cause(c) != errPolicy {
			t.Fatalf("Cause follows the parent after the end: %v", context.Cause(c))
		}
		if c.Value(key{}) != "value" {
			t.Fatal("the parent's values are lost after the end")
		}
	})
}

func TestParentEndsIt(t *testing.T) {
	gone := errors.New("the caller is gone")
	parent, cancel := context.WithCancelCause(t.Context())
	c := New(parent, time.Hour, errPolicy)
	defer c.Release()
	child, cancelChild := context.WithCancel(c)
	defer cancelChild()
	cancel(gone)
	<-child.Done()
	if c.Err() != context.Canceled || context.Cause(c) != gone || context.Cause(child) != gone || c.Expired() {
		t.Fatalf("Err = %v, Cause = %v, child's = %v", c.Err(), context.Cause(c), context.Cause(child))
	}
}

func TestAlreadyEndedParent(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	cancel()
	c := New(parent, time.Hour, errPolicy)
	defer c.Release()
	if c.Err() != context.Canceled {
		t.Fatalf("Err = %v", c.Err())
	}
}

func TestReleaseEndsChildrenAndStopsTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t.Context(), time.Second, errPolicy)
		child, cancel := context.WithCancel(c)
		defer cancel()
		c.Release()
		c.Release()
		<-child.Done()
		time.Sleep(2 * time.Second)
		if c.Err() != context.Canceled || c.Expired() {
			t.Fatalf("Err = %v, Expired = %v after the deadline of a released context", c.Err(), c.Expired())
		}
	})
}

func TestAfterFuncs(t *testing.T) {
	c := New(t.Context(), time.Hour, errPolicy)
	ran := make(chan int, 4)
	stops := make([]func() bool, 3)
	for i := range stops {
		stops[i] = c.AfterFunc(func() { ran <- i })
	}
	if stops[0]() || !stops[1]() || stops[1]() {
		t.Fatal("stop must tell whether it prevented the call; that of the first never does")
	}
	c.Release()
	if a, b := <-ran, <-ran; a+b != 2 {
		t.Fatalf("functions %d and %d ran, want 0 and 2", a, b)
	}
	if stops[2]() {
		t.Fatal("stop claims to have prevented a call that was made")
	}
	c.AfterFunc(func() { ran <- 3 })
	if got := <-ran; got != 3 {
		t.Fatalf("function %d ran, want 3", got)
	}
}

func TestNoGoroutineForADerivedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(context.Background(), time.Hour, errPolicy)
		_, cancel := context.WithCancel(c)
		// Leaving the bubble fails if a goroutine waits for the derived context.
		cancel()
		c.Release()
	})
}

// As the context package promises: while Done is open, Err is nil.
func TestErrIsNilWhileDoneIsOpen(t *testing.T) {
	type current struct {
		*Context
		done <-chan struct{}
	}
	var latest atomic.Pointer[current]
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			c := New(context.Background(), time.Hour, errPolicy)
			latest.Store(&current{c, c.Done()})
			c.Release()
		}
	})
	for range 1_000_000 {
		if c := latest.Load(); c != nil && c.Err() != nil {
			select {
			case <-c.done:
			default:
				t.Error("Err tells of an end, and Done is open")
			}
		}
	}
	over.Store(true)
	wg.Wait()
}

func BenchmarkNewRelease(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := New(context.Background(), time.Minute, errPolicy)
			c.Release()
		}
	})
	b.Run("context.WithTimeoutCause", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errPolicy)
			cancel()
		}
	})
	b.Run("ours under grpc's WithCancel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := New(context.Background(), time.Minute, errPolicy)
			_, cancel := context.WithCancel(c)
			cancel()
			c.Release()
		}
	})
	b.Run("context.WithTimeoutCause under grpc's WithCancel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errPolicy)
			_, cancel2 := context.WithCancel(ctx)
			cancel2()
			cancel()
		}
	})
}

// A context that was promised ends at its deadline once it is armed, and not before.
func TestPromise(t *testing.T) {
	cause := errors.New("too late")
	for _, late := range []time.Duration{0, time.Second, 3 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := new(Context)
			began := time.Now()
			c.Promise(t.Context(), clock.Now(), 3*time.Second, cause)
			if d, ok := c.Deadline(); !ok || d.Sub(began) != 3*time.Second {
				t.Errorf("deadline after %v", d.Sub(began))
			}
			time.Sleep(late)
			synctest.Wait()
			if c.Err() != nil {
				t.Fatalf("ended with %v before it was armed", c.Err())
			}
			c.Arm(clock.Now())
			c.Arm(clock.Now()) // again changes nothing
			<-c.Done()
			if at := time.Since(began); at != max(late, 3*time.Second) || context.Cause(c) != cause {
				t.Errorf("armed after %v it ended after %v with %v", late, at, context.Cause(c))
			}
			c.Arm(clock.Now())
			c.Release()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := new(Context)
		c.Promise(t.Context(), clock.Now(), time.Second, cause)
		c.Release()
		c.Arm(clock.Now()) // no timer: synctest would not let the bubble end with time to pass
		if context.Cause(c) != context.Canceled {
			t.Errorf("released it ended with %v", context.Cause(c))
		}
	})
}
