package sim

import (
	"time"

	"github.com/goresilient/goresilient/runtime/balancer"
)

// Clock is virtual time: nothing happens between two events, and all happens on the goroutine that runs it.
type Clock struct {
	now  int64 // nanoseconds
	made uint64
	heap []event // a binary heap by time, and by order of making
}

type event struct {
	at   int64
	made uint64
	f    func()
}

// origin is where time begins: not at 0, which some rules take for "never".
const origin = int64(time.Hour)

func newClock() *Clock { return &Clock{now: origin} }

// Now returns the present in nanoseconds.
func (c *Clock) Now() int64 { return c.now }

// at calls f at t.
func (c *Clock) at(t int64, f func()) {
	c.made++
	h := append(c.heap, event{max(t, c.now), c.made, f})
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	c.heap = h
}

// after calls f in d nanoseconds.
func (c *Clock) after(d int64, f func()) { c.at(c.now+d, f) }

// AfterFunc is for [balancer.Options].
func (c *Clock) AfterFunc(d time.Duration, f func()) balancer.Timer {
	t := &timer{}
	c.after(int64(d), func() {
		if !t.over {
			t.over = true
			f()
		}
	})
	return t
}

// run lets time pass until the moment end.
func (c *Clock) run(end int64) {
	for len(c.heap) > 0 && c.heap[0].at <= end {
		e := c.pop()
		c.now = e.at
		e.f()
	}
	c.now = end
}

func (c *Clock) pop() event {
	h := c.heap
	first := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < last; k++ {
			if h[k].before(h[least]) {
				least = k
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	c.heap = h
	return first
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.made < o.made }

type timer struct{ over bool }

// Stop implements [balancer.Timer].
func (t *timer) Stop() bool {
	was := !t.over
	t.over = true
	return was
}
