package goresilient

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/pushback"
)

// try is one attempt with what it takes: a context, options, and a look at how it went.
type try struct {
	number int
	hedge  bool
	began  int64
	ended  int64           // 0 unless it was measured
	timed  *timedAttempt   // nil if the attempt has no deadline of its own, and cannot be cancelled
	state  *attemptState   // where the server's trailer goes; nil if the record has it, or nobody asks
	record *attempt.Record // nil if the balancer needs none
	ctx    context.Context
	opts   []grpc.CallOption
	cause  *DeadlineError // of timed's deadline
	struck bool           // that deadline has ended the attempt
	within time.Duration  // of which that is the end
	err    error
	took   time.Duration
}

// equip chooses what the attempt keeps, and makes its context: one with a deadline of its own, or that can be cancelled; one
// with a record for the balancer of the channel given, if not nil; or none but parent, if it only listens to the server.
func (t *try) equip(parent context.Context, timed bool, channel *attempt.Channel, repeats bool) {
	switch {
	case timed:
		a := t.timed
		if a == nil {
			a = new(timedAttempt)
		}
		t.timed, t.state, t.ctx = a, &a.attemptState, &a.Context
		if channel != nil {
			t.record = &a.Context.Record
		}
	case channel != nil:
		a := new(recordContext)
		a.Context = parent
		t.record, t.ctx = &a.record, a
	case repeats && t.state == nil:
		t.state = new(attemptState)
	}
	if t.record != nil {
		t.record.Channel = channel
	}
}

// listen has the attempt learn from the server's trailer what it says about further attempts, unless its record tells.
func (t *try) listen() {
	if t.record != nil {
		return
	}
	trailer := grpc.Trailer(&t.state.trailer)
	if len(t.opts) == 1 { // that the RPC is static
		t.state.room[0], t.state.room[1] = t.opts[0], trailer
		t.opts = t.state.room[:]
		return
	}
	t.opts = append(append(t.state.room[:0], t.opts...), trailer)
}

// release frees what the attempt holds.
func (t *try) release() {
	if t.timed != nil {
		t.timed.Release()
	}
}

// attempt describes the attempt.
func (t *try) attempt(c *unaryCall) Attempt {
	a := Attempt{Number: t.number, Hedge: t.hedge, Code: status.Code(t.err), Err: t.err,
		Start: time.Duration(t.began - c.start), Duration: t.took}
	if t.record != nil {
		if e := t.record.Endpoint(); e != nil {
			a.Endpoint = e.ID()
		}
	}
	return a
}

// superseded tells whether another attempt won, and this one was cancelled for it.
func (t *try) superseded() bool {
	return t.err != nil && t.timed != nil && context.Cause(&t.timed.Context) == errSuperseded
}

// errSuperseded is why an attempt is cancelled that is no longer needed.
var errSuperseded = errors.New("goresilient: another attempt of the call has ended it")

// pushback returns what the server said about further attempts.
func (t *try) pushback() []string {
	switch {
	case t.record != nil:
		return t.record.Pushback()
	case t.state != nil:
		return t.state.trailer[pushback.Key]
	default:
		return nil
	}
}
