package sim

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// Client is one program that calls the servers, with a balancer of its own.
type Client struct {
	run     *run
	cc      clientConn
	lb      balancer.Balancer
	waiting []*call // for the next picker
}

// call is one call, from the moment the program makes it.
type call struct {
	client *Client
	start  int64
	ended  bool
	server *Server // nil: none was picked yet
	done   func(balancer.DoneInfo)

	arrived int64 // at the server
	met     int   // how many calls it met there
}

var errDeadline = status.Error(codes.DeadlineExceeded, "the call's deadline has passed")

// call makes a call.
func (cl *Client) call(deadline time.Duration) {
	c := &call{client: cl, start: cl.run.clock.now}
	cl.run.calls = append(cl.run.calls, c)
	if deadline > 0 {
		cl.run.clock.after(int64(deadline), func() { c.end(errDeadline) })
	}
	c.pick()
}

// pick does what grpc does: it waits for the next picker where this one has no connection to offer, or offers one that
// is not READY any more.
func (c *call) pick() {
	picker := c.client.cc.picker
	if picker == nil {
		c.wait()
		return
	}
	r, err := picker.Pick(balancer.PickInfo{FullMethodName: "/sim/Call", Ctx: context.Background()})
	switch {
	case errors.Is(err, balancer.ErrNoSubConnAvailable):
		c.wait()
		return
	case err != nil:
		c.end(status.Error(codes.Unavailable, err.Error()))
		return
	}
	sc := r.SubConn.(*subConn)
	if sc.state != connectivity.Ready {
		if r.Done != nil {
			r.Done(balancer.DoneInfo{})
		}
		c.wait()
		return
	}
	c.server, c.done = sc.server, r.Done
	sc.server.coming++
	c.client.run.clock.after(oneWay, func() { sc.server.accept(c) })
}

func (c *call) wait() { c.client.waiting = append(c.client.waiting, c) }

// wake has the calls that wait pick from the picker that has come.
func (cl *Client) wake() {
	waiting := cl.waiting
	cl.waiting = nil
	for _, c := range waiting {
		if !c.ended {
			c.pick()
		}
	}
}

// end is the end of the call for the program: the reply, or the deadline.
func (c *call) end(err error) {
	if c.ended {
		return
	}
	c.ended = true
	if c.done != nil {
		replied := !errors.Is(err, errDeadline)
		c.done(balancer.DoneInfo{Err: err, BytesSent: true, BytesReceived: replied})
	}
	c.client.run.record(c, err)
}
