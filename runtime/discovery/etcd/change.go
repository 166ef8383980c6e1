package etcd

import (
	"context"
	"sync"

	"github.com/goresilient/goresilient/runtime/discovery"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// change is what happened in a range of keys. One with neither a reset nor keys tells that stale has changed.
type change struct {
	revision int64 // of the feed, after the change
	offset   int64 // of the feed's revisions from etcd's
	reset    bool  // put is all that there is
	put      []*mvccpb.KeyValue
	del      []string
	stale    error // nil if what is known is up to date

	// failure is why there is no snapshot yet; nothing else is set then.
	failure error
}

// isStatus is true of a change that a later one replaces.
func (c change) isStatus() bool { return !c.reset && len(c.put)+len(c.del) == 0 }

// maxPending is how many changes wait for a slow reader before they are replaced by a reset.
const maxPending = 128

// outbox is where a feed leaves changes for its one reader. It never makes the feed wait.
type outbox struct {
	mu      sync.Mutex // guards pending
	pending []change

	filled chan struct{} // capacity 1: something may be pending
}

func newOutbox() *outbox { return &outbox{filled: make(chan struct{}, 1)} }

// add reports false where the reader is too far behind.
func (o *outbox) add(c change) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch n := len(o.pending); {
	case n > 0 && o.pending[n-1].isStatus():
		o.pending[n-1] = c
	case n >= maxPending:
		return false
	default:
		o.pending = append(o.pending, c)
	}
	o.wake()
	return true
}

// replace drops what is pending in favour of c.
func (o *outbox) replace(c change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending = append(o.pending[:0:0], c)
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// take waits for the next change. After closed it returns [discovery.ErrClosed].
func (o *outbox) take(ctx context.Context, closed <-chan struct{}) (change, error) {
	for {
		select {
		case <-closed:
			return change{}, discovery.ErrClosed
		default:
		}
		if c, ok := o.first(); ok {
			return c, nil
		}
		select {
		case <-closed:
		case <-o.filled:
		case <-ctx.Done():
			return change{}, ctx.Err()
		}
	}
}

func (o *outbox) first() (change, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) == 0 {
		return change{}, false
	}
	c := o.pending[0]
	o.pending[0] = change{} // let go of its keys
	o.pending = o.pending[1:]
	return c, true
}
