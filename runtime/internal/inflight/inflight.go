// Package inflight counts running calls, for a shutdown that refuses new ones and waits for the others.
package inflight

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// shards is a power of two; calls on different cores rarely meet on one
const shards = 8

// Counter counts running calls. The zero Counter is open. All methods but CountElsewhere may be called concurrently; Begin and
// End never block.
type Counter struct {
	shards [shards]struct {
		n atomic.Int64
		_ [stripe.LineSize - 8]byte
	}
	closed atomic.Bool
	// elsewhere returns how many running calls are counted by others; nil for none. Written by CountElsewhere.
	elsewhere func() int64

	once  sync.Once
	woken chan struct{} // receives after each End once the Counter is closed; made by init
}

// Token is what End needs of Begin. The zero Token counts nothing.
type Token uint32

// CountElsewhere has the Counter take for running as well what f returns: calls that somebody counts anyway, for another
// reason. Who does must look at Closed after counting a call, as Begin does, and call Left when one ends. CountElsewhere must
// be called before any other method.
func (c *Counter) CountElsewhere(f func() int64) { c.elsewhere = f }

func (c *Counter) init() { c.once.Do(func() { c.woken = make(chan struct{}, 1) }) }

// Begin counts a call; ok is false, and nothing is counted, once the Counter is closed.
func (c *Counter) Begin() (t Token, ok bool) {
	t = c.Enter()
	// The call is counted before closed is read, and Close writes closed before Wait counts: a call that got through
	// here is one that Wait sees.
	if c.closed.Load() {
		c.End(t)
		return 0, false
	}
	return t, true
}

// Enter counts a call that runs already, whether or not the Counter is closed: one that was counted elsewhere until now.
func (c *Counter) Enter() Token {
	shard := stripe.Here() % shards
	c.shards[shard].n.Add(1)
	return Token(shard + 1)
}

// End takes back one Begin or Enter.
func (c *Counter) End(t Token) {
	if t == 0 {
		return
	}
	c.shards[t-1].n.Add(-1)
	c.Left()
}

// Left tells Wait that a call has ended, or is no longer counted elsewhere.
func (c *Counter) Left() {
	if c.closed.Load() {
		c.wake()
	}
}

func (c *Counter) wake() {
	c.init()
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Close refuses further calls. It tells whether this was the first Close.
func (c *Counter) Close() bool { return !c.closed.Swap(true) }

// Closed tells whether Close was called.
func (c *Counter) Closed() bool { return c.closed.Load() }

// Running returns how many calls have begun and not ended, those that are counted elsewhere included.
func (c *Counter) Running() int64 {
	var n int64
	if c.elsewhere != nil {
		n = c.elsewhere() // first: a call may come from there to the shards, and never goes back
	}
	for i := range c.shards {
		n += c.shards[i].n.Load()
	}
	return n
}

// Wait returns once no call runs, or with the context's error. The Counter must be closed.
func (c *Counter) Wait(ctx context.Context) error {
	c.init()
	for c.Running() > 0 {
		select {
		case <-c.woken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.wake() // another waiter may have missed the wake-up that this one took
	return nil
}
