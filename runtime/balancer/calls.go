package balancer

import "sync"

// calls lets one goroutine at a time call into policies of others, as grpc promises them. Such a policy calls back while
// it holds its own locks, so nothing may be held that its callbacks need, and nothing may be called from a callback:
// callbacks leave what is to be called with later.
//
// The zero value is ready. mu is held while a policy runs; queueMu guards the queue and is held for moments only.
type calls struct {
	mu sync.Mutex

	queueMu  sync.Mutex
	queue    []func()
	draining bool // somebody empties the queue, or is about to
}

// do calls f, and then everything that f and callbacks left for later. It must not be called from a callback.
func (c *calls) do(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queueMu.Lock()
	c.draining = true
	c.queueMu.Unlock()
	f()
	c.drain()
}

// later calls f once no policy runs: at the end of the running do, or in a goroutine of its own if there is none.
func (c *calls) later(f func()) {
	c.queueMu.Lock()
	defer c.queueMu.Unlock()
	c.queue = append(c.queue, f)
	if !c.draining {
		c.draining = true
		go c.do(func() {})
	}
}

func (c *calls) drain() {
	for {
		c.queueMu.Lock()
		queue := c.queue
		c.queue = nil
		if len(queue) == 0 {
			c.draining = false
			c.queueMu.Unlock()
			return
		}
		c.queueMu.Unlock()
		for _, f := range queue {
			f()
		}
	}
}
