// Package deadline has the context of an attempt: its caller's values and cancellation, a deadline of its own, and the record
// that the attempt shares with the balancer.
//
// It does what context.WithDeadlineCause does, with fewer allocations: grpc derives a context from it, and finds in
// AfterFunc a way to be told of the end without a goroutine.
package deadline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/alarm"
	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// None is the timeout of a context that has no deadline but its parent's.
const None time.Duration = -1

// slack is how much earlier than the client a server may see the deadline that both have, if that is not more than a tenth of the
// time there was.
const slack = 10 * time.Millisecond

// Over tells whether the deadline of ctx has passed for a server, whose clock may strike first. An attempt under it had so much
// time, from its beginning.
func Over(ctx context.Context, had time.Duration) bool {
	d, ok := ctx.Deadline()
	return ok && time.Until(d) <= min(slack, had/10)
}

// Context ends at its deadline, when its parent ends, or at Release, whichever is first. Its methods may be called
// concurrently. It is never reused: whoever got hold of it may keep it. The zero Context is for [Context.Start] and [Context.Promise] alone.
type Context struct {
	// Record is what the balancer finds in the context, if it has a channel. It is set up before Start.
	Record attempt.Record

	parent   context.Context
	deadline time.Time
	cause    error        // of the deadline
	timed    bool         // deadline is the context's own
	over     atomic.Bool  // it has ended: err and reason stay what they are
	done     atomic.Value // of chan struct{}; made when first asked for, unless that is after the end

	mu     sync.Mutex           // guards what follows, except from Start
	alarm  *alarm.Alarm         // nil unless timed, and armed; for Start, Arm and Release alone
	unlink func() bool          // from the parent; nil if it never ends; for Start and Release alone
	taken  bool                 // first is, or was, in use
	err    error                // set once, before over
	reason error                // what Cause reports
	first  func()               // registered with AfterFunc
	more   map[*func()]struct{} // registered after it

	// frozen carries reason for context.Cause, which finds a cancelled context of the standard library through Value. Made
	// when first asked for after the end.
	frozen atomic.Pointer[context.Context]
}

// New returns a Context that ends after timeout with the cause given. The caller must Release it. The deadline must be
// earlier than that of parent, or the context would promise more time than there is.
func New(parent context.Context, timeout time.Duration, cause error) *Context {
	c := new(Context)
	c.Start(parent, clock.Now(), timeout, cause)
	return c
}

// Start makes the zero Context, which is a part of something larger, what [New] returns. The timeout counts from now, the time of
// [clock.Now]. With the timeout [None] it has the deadline of its parent, and is there to be cancelled.
func (c *Context) Start(parent context.Context, now int64, timeout time.Duration, cause error) {
	c.start(parent, now, timeout, cause, true)
}

// Promise is Start for who calls Arm before the deadline, unless the context has ended by then: it has no timer before. The timeout
// is not None.
func (c *Context) Promise(parent context.Context, now int64, timeout time.Duration, cause error) {
	c.start(parent, now, timeout, cause, false)
}

// Arm has a context that was promised end at its deadline. now is the time of [clock.Now]. Of others nothing changes.
func (c *Context) Arm(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed && c.alarm == nil && c.err == nil {
		c.alarm = alarm.Set(now, max(0, time.Until(c.deadline)), c)
	}
}

// start needs no lock: what the alarm and the parent call at an end that is immediate does not look at alarm and unlink.
func (c *Context) start(parent context.Context, now int64, timeout time.Duration, cause error, arm bool) {
	c.parent, c.cause = parent, cause
	if c.timed = timeout >= 0; c.timed {
		c.deadline = clock.Time(now).Add(timeout)
		if arm {
			c.alarm = alarm.Set(now, timeout, c)
		}
	}
	if parent.Done() != nil {
		c.unlink = context.AfterFunc(parent, c.parentEnded)
	}
	if parent.Err() != nil { // which the context package would tell only a little later
		c.parentEnded()
	}
}

// Ring implements [alarm.Target]: the deadline has come.
func (c *Context) Ring() { c.end(context.DeadlineExceeded, c.cause) }

func (c *Context) parentEnded() { c.end(c.parent.Err(), context.Cause(c.parent)) }

// Release ends the context, if it has not ended, and frees its timer.
func (c *Context) Release() {
	c.mu.Lock()
	set, unlink := c.alarm, c.unlink
	c.alarm, c.unlink = nil, nil
	c.endLocked(context.Canceled, context.Canceled)
	if set != nil {
		set.Stop()
	}
	if unlink != nil {
		unlink()
	}
}

// Cancel ends the context, if it has not ended, with the reason that context.Cause reports.
func (c *Context) Cancel(reason error) { c.end(context.Canceled, reason) }

// Expire ends the context, if it has not ended, as its deadline would, with a cause of its own.
func (c *Context) Expire(cause error) { c.end(context.DeadlineExceeded, cause) }

// Expired tells whether the context ended because of its own deadline.
func (c *Context) Expired() bool {
	return c.Err() == context.DeadlineExceeded && c.reason == c.cause
}

func (c *Context) end(err, reason error) {
	c.mu.Lock()
	c.endLocked(err, reason)
}

// endLocked is end; it unlocks c.mu.
func (c *Context) endLocked(err, reason error) {
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.reason = err, reason
	c.over.Store(true)
	first, more := c.first, c.more
	c.first, c.more = nil, nil
	if done, made := c.done.Load().(chan struct{}); made {
		close(done)
	}
	c.mu.Unlock()
	if first != nil {
		first()
	}
	for f := range more {
		(*f)()
	}
}

// Deadline implements [context.Context].
func (c *Context) Deadline() (time.Time, bool) {
	if !c.timed {
		return c.parent.Deadline()
	}
	return c.deadline, true
}

// closed is the channel of contexts that have ended before anybody asked for theirs.
var closed = func() chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}()

// Done implements [context.Context].
func (c *Context) Done() <-chan struct{} {
	if done, made := c.done.Load().(chan struct{}); made {
		return done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if done, made := c.done.Load().(chan struct{}); made {
		return done
	}
	if c.err != nil {
		return closed
	}
	done := make(chan struct{})
	c.done.Store(done)
	return done
}

// Err implements [context.Context].
func (c *Context) Err() error {
	if !c.over.Load() {
		return nil
	}
	if done, made := c.done.Load().(chan struct{}); made {
		<-done // which is closed at this moment: until then there is no error
	}
	return c.err
}

// Value implements [context.Context]: it has the values of the parent, and the record.
func (c *Context) Value(key any) any {
	if _, ok := key.(attempt.Key); ok && c.Record.Channel != nil {
		return &c.Record
	}
	if f := c.frozenContext(); f != nil {
		if v := f.Value(key); v != nil {
			return v
		}
	}
	return c.parent.Value(key)
}

// released is what the context package finds in a context that was released: one that was cancelled.
var released = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// frozenContext returns nil while the context has not ended, and from then on a cancelled context of the standard library
// with this context's cause and no values. Without it context.Cause would report what happened to the parent
// later.
func (c *Context) frozenContext() context.Context {
	if f := c.frozen.Load(); f != nil {
		return *f
	}
	if !c.over.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.frozen.Load(); f != nil {
		return *f
	}
	if c.reason == context.Canceled {
		c.frozen.Store(&released)
		return released
	}
	f, cancel := context.WithCancelCause(context.Background())
	cancel(c.reason)
	c.frozen.Store(&f)
	return f
}

// AfterFunc calls f once the context has ended; stop prevents that and tells whether it did, but for the function that is registered
// first, which stays: see [keep]. The context package looks for this method before it starts a goroutine for a derived context.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // the context package holds a lock that f needs
		return func() bool { return false }
	}
	if !c.taken { // grpc's, and as a rule the only one
		c.first, c.taken = f, true
		return keep
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

// keep is the stop function of the first registration, which allocates nothing: the function stays registered. The context
// package cares about nothing but that a context which has ended does not end again, and there is only one first.
func keep() bool { return false }

func (c *Context) forget(f *func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.more[f]
	delete(c.more, f)
	return ok
}

// String names the context as those of the standard library name themselves.
func (c *Context) String() string {
	d, _ := c.Deadline()
	return "deadline.Context(" + d.Format(time.RFC3339Nano) + ")"
}
