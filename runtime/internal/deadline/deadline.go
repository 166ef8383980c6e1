// Package deadline has the context of an attempt: its caller's values and cancellation, and a deadline of its own.
//
// It does what context.WithDeadlineCause does, with fewer allocations: grpc derives a context from it, and finds in
// AfterFunc a way to be told of the end without a goroutine.
package deadline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context ends at its deadline, when its parent ends, or at Release, whichever is first. Its methods may be called
// concurrently. It is never reused: whoever got hold of it may keep it.
type Context struct {
	parent   context.Context
	deadline time.Time
	cause    error // of the deadline
	done     chan struct{}
	timer    *time.Timer
	unlink   func() bool // from the parent; nil if it never ends

	mu     sync.Mutex
	err    error  // set once, before done is closed
	reason error  // what Cause reports
	first  func() // registered with AfterFunc under the number turn; nil if none is
	turn   uint
	more   map[*func()]struct{} // registered while first was taken

	// frozen carries reason for context.Cause, which finds a cancelled context of the standard library through Value. Made
	// when first asked for after the end.
	frozen atomic.Pointer[context.Context]
}

// New returns a Context that ends after timeout with the cause given. The caller must Release it. The deadline must be
// earlier than that of parent, or the context would promise more time than there is.
func New(parent context.Context, timeout time.Duration, cause error) *Context {
	c := &Context{parent: parent, deadline: time.Now().Add(timeout), cause: cause, done: make(chan struct{})}
	// The lock orders the assignments before an end that is immediate.
	c.mu.Lock()
	if parent.Done() != nil {
		c.unlink = context.AfterFunc(parent, c.parentEnded)
	}
	c.timer = time.AfterFunc(timeout, c.expire)
	c.mu.Unlock()
	if parent.Err() != nil { // which the context package would tell only a little later
		c.parentEnded()
	}
	return c
}

func (c *Context) expire() { c.end(context.DeadlineExceeded, c.cause) }

func (c *Context) parentEnded() { c.end(c.parent.Err(), context.Cause(c.parent)) }

// Release ends the context, if it has not ended, and frees its timer.
func (c *Context) Release() { c.end(context.Canceled, context.Canceled) }

// Expired tells whether the context ended because of its own deadline.
func (c *Context) Expired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == context.DeadlineExceeded && c.reason == c.cause
}

func (c *Context) end(err, reason error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.reason = err, reason
	first, more := c.first, c.more
	c.first, c.more = nil, nil
	timer, unlink := c.timer, c.unlink
	close(c.done)
	c.mu.Unlock()

	timer.Stop()
	if unlink != nil {
		unlink()
	}
	if first != nil {
		first()
	}
	for f := range more {
		(*f)()
	}
}

// Deadline implements [context.Context].
func (c *Context) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements [context.Context].
func (c *Context) Done() <-chan struct{} { return c.done }

// Err implements [context.Context].
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements [context.Context]: it has the values of the parent.
func (c *Context) Value(key any) any {
	if f := c.frozenContext(); f != nil {
		return f.Value(key)
	}
	return c.parent.Value(key)
}

// frozenContext returns nil while the context has not ended, and from then on a cancelled context of the standard library
// with the parent's values and this context's cause. Without it context.Cause would report what happened to the parent
// later.
func (c *Context) frozenContext() context.Context {
	if f := c.frozen.Load(); f != nil {
		return *f
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	if f := c.frozen.Load(); f != nil {
		return *f
	}
	f, cancel := context.WithCancelCause(context.WithoutCancel(c.parent))
	cancel(c.reason)
	c.frozen.Store(&f)
	return f
}

// AfterFunc calls f once the context has ended; stop prevents that and tells whether it did. The context package looks for
// this method before it starts a goroutine for a derived context.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // the context package holds a lock that f needs
		return func() bool { return false }
	}
	if c.first == nil { // grpc's, and as a rule the only one
		c.first = f
		c.turn++
		turn := c.turn
		return func() bool { return c.forgetFirst(turn) }
	}
	return c.register(f)
}

// register is apart from AfterFunc so that its f alone moves to the heap.
func (c *Context) register(f func()) (stop func() bool) {
	if c.more == nil {
		c.more = make(map[*func()]struct{})
	}
	c.more[&f] = struct{}{}
	return func() bool { return c.forget(&f) }
}

func (c *Context) forgetFirst(turn uint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil || c.turn != turn {
		return false
	}
	c.first = nil
	return true
}

func (c *Context) forget(f *func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.more[f]
	delete(c.more, f)
	return ok
}

// String names the context as those of the standard library name themselves.
func (c *Context) String() string {
	return "deadline.Context(" + c.deadline.Format(time.RFC3339Nano) + ")"
}
