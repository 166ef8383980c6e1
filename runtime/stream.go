package goresilient

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/internal/notsent"
)

// open begins a stream, from the outermost layer in. The stream counts as running until it has ended, not only until it
// is open.
func (m *method) open(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	c := m.client
	if c.callStream != nil {
		return c.callStream(ctx, desc, c.grpc, fullName, m.openGoverned, opts...)
	}
	return m.openGoverned(ctx, desc, c.grpc, fullName, opts...)
}

// openGoverned is the stream within the interceptors. It is a [grpc.Streamer].
func (m *method) openGoverned(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c := m.client
	token, ok := c.calls.Begin()
	if !ok {
		finishRefused(opts, ErrClosed)
		return nil, ErrClosed
	}
	p := m.plan.Load()
	s := &stream{method: m, plan: p, fullName: fullName, desc: desc, ctx: ctx, start: clock.Now()}
	s.counted = func() { c.calls.End(token) }
	ctx, given := s.prepare(opts)
	if err := s.admit(ctx); err != nil {
		finishRefused(opts, err)
		c.calls.End(token)
		return nil, err
	}
	opts = given
	defer func() { // an interceptor may panic
		if !s.open.Load() {
			s.abandon()
		}
	}()
	if c.grpc != nil {
		opts = append(slices.Clip(opts), grpc.OnFinish(s.finished))
	}
	under, err := c.streamer(ctx, desc, fullName, opts)
	if err != nil {
		err = s.named(err)
		s.ended(err)
		s.open.Store(true)
		return nil, err
	}
	s.ClientStream = under
	s.unwatch = context.AfterFunc(ctx, func() { s.ended(s.named(status.FromContextError(ctx.Err()).Err())) })
	s.watchIdle()
	s.open.Store(true)
	return s, nil
}

func (c *Client) streamer(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	if c.attemptStream != nil {
		return c.attemptStream(ctx, desc, c.grpc, fullName, c.newStream, opts...)
	}
	return c.conn.NewStream(ctx, desc, fullName, opts...)
}

// newStream is a [grpc.Streamer].
func (c *Client) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.conn.NewStream(ctx, desc, fullName, opts...)
}

// stream is a stream under policy. It names the deadline that struck, and sees the end of the stream: an error, the only message of
// a stream that gets one, the end of the context, or that of the connection. It never asks the stream for its context, which would
// end grpc's replay.
type stream struct {
	grpc.ClientStream
	method   *method
	plan     *plan
	fullName string
	desc     *grpc.StreamDesc
	ctx      context.Context // the caller's
	start    int64

	admitted admission
	held     permits
	counted  func() // no longer
	once     sync.Once
	unwatch  func() bool
	open     atomic.Bool  // all that is above is written
	waiting  atomic.Int32 // how many of its methods run
	guarded  sync.Mutex   // guards admitted once the stream is open

	limited    *deadline.Context // nil without a deadline or a record of its own
	cause      *DeadlineError    // of the deadline; nil if it is the caller's
	idleMu     sync.Mutex        // guards idle
	idle       *time.Timer       // nil without a bound
	last       atomic.Int64      // when a message last passed, monotonic
	told       attempt.Stream
	answered   atomic.Bool                // a message came
	halfClosed atomic.Bool                // the client has sent its last
	stopped    atomic.Pointer[StopReason] // why grpc was kept from another try; nil if it was not
}

// admit lets the stream, whose context is ctx, through the guards.
func (s *stream) admit(ctx context.Context) error {
	err := s.pass(ctx)
	if err != nil {
		if s.limited != nil {
			s.limited.Release()
		}
		s.report(err, 0)
		return err
	}
	if s.plan.retry != nil {
		s.plan.guards.first(s.start)
	}
	return nil
}

func (s *stream) pass(ctx context.Context) error {
	g := &s.plan.guards
	if refused := g.admit(s.ctx, s.fullName, s.start, &s.admitted); refused != nil {
		return refused
	}
	if !g.limited {
		return nil
	}
	if err := g.acquire(ctx, s.fullName, s.start, &s.held); err != nil {
		g.release(&s.held, limit.Ignored, s.start)
		if s.limited != nil {
			err = s.explained(err)
		}
		g.settle(s.ctx, &s.admitted, err, s.start, clock.Now())
		return err
	}
	return nil
}

// prepare makes the context of the stream, and takes from the caller's options what is for this package.
func (s *stream) prepare(callers []grpc.CallOption) (context.Context, []grpc.CallOption) {
	p := s.plan
	total, struck, once := p.total, p.struck, StopReason("")
	key, keyed := uint64(0), false
	for _, o := range callers {
		switch o := o.(type) {
		case callTimeout:
			total, struck = o.timeout, &DeadlineError{Method: s.fullName, Timeout: o.timeout, Limit: o.timeout, Field: "CallTimeout"}
		case noRetry:
			once = StoppedByOption
		case hashKey:
			key, keyed = o.hash, true
		}
	}
	opts := p.with(callers)
	if d, ok := s.ctx.Deadline(); ok && time.Until(d) <= total || total <= 0 {
		total = deadline.None
	}
	judged := s.method.client.judgesStreams()
	if total == deadline.None && p.idle == 0 && p.retry == nil && !keyed && !judged && s.method.client.observer == nil {
		return s.method.client.apart(s.ctx), opts
	}
	if struck.Method != s.fullName { // an RPC of another service
		struck = &DeadlineError{Method: s.fullName, Timeout: total, Limit: total, Field: struck.Field}
	}
	if total != deadline.None {
		s.cause = struck
	}
	s.limited = new(deadline.Context)
	parent := s.ctx
	s.limited.Record.Channel, s.limited.Record.Stream = s.method.client.records(), &s.told
	if keyed {
		s.limited.Record.SetKey(key)
	}
	if p.retry != nil {
		if nested := isNested(parent); nested {
			parent = markRetried(parent, 0)
			if p.retry.skipNested {
				once = StoppedByNesting
			}
		}
		s.told.Gate = s.gate(once)
	}
	s.limited.Start(parent, s.start, total, struck)
	return s.limited, opts
}

// gate decides about each further try that grpc is about to make of its own accord. grpc has waited already. once, if not
// empty, is why there is to be none.
func (s *stream) gate(once StopReason) func(int) error {
	return func(picks int) error {
		if picks == 0 {
			return nil
		}
		reason := once
		switch {
		case once != "":
		case !s.plan.guards.withdraw(clock.Now()):
			reason = StoppedByBudget
		default:
			return nil
		}
		s.stopped.Store(&reason)
		if o := s.method.client.observer; o != nil {
			o.Observe(s.ctx, &StopEvent{Method: s.fullName, Reason: reason})
		}
		return status.Error(codes.Unavailable, "goresilient: "+string(reason))
	}
}

// RecvMsg implements [grpc.ClientStream].
func (s *stream) RecvMsg(m any) error {
	s.await()
	defer s.waiting.Add(-1)
	err := s.ClientStream.RecvMsg(m)
	if err == nil && s.desc.ServerStreams {
		if !s.answered.Load() {
			s.heard()
		}
		s.passed()
		return nil
	}
	err = s.named(err)
	s.unwatch()
	s.ended(err)
	return err
}

// SendMsg implements [grpc.ClientStream].
func (s *stream) SendMsg(m any) error {
	s.await()
	defer s.waiting.Add(-1)
	err := s.ClientStream.SendMsg(m)
	if err == nil {
		s.passed()
		return nil
	}
	return s.failed(err)
}

// Header implements [grpc.ClientStream].
func (s *stream) Header() (metadata.MD, error) {
	s.await()
	defer s.waiting.Add(-1)
	md, err := s.ClientStream.Header()
	return md, s.failed(err)
}

// CloseSend implements [grpc.ClientStream].
func (s *stream) CloseSend() error {
	s.await()
	defer s.waiting.Add(-1)
	s.halfClosed.Store(true)
	return s.failed(s.ClientStream.CloseSend())
}

// await begins to wait for the stream, whose idle time counts from then on if nobody has waited before. It does so before it counts as
// waiting: the idle time may be looked at in between.
func (s *stream) await() {
	if s.waiting.Load() == 0 {
		s.passed()
	}
	s.waiting.Add(1)
}

// failed returns the error of something other than RecvMsg, named. It has ended the stream, unless RecvMsg is to tell.
func (s *stream) failed(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	err = s.named(err)
	s.unwatch()
	s.ended(err)
	return err
}

// named returns err, naming the deadline that struck, or the failure that a retry was to mend that was not made.
func (s *stream) named(err error) error {
	if err == nil || err == io.EOF || s.limited == nil {
		return err
	}
	return s.described(s.explained(err))
}

// likeliest returns the code of a failure that grpc tells nobody of.
func (s *stream) likeliest() codes.Code {
	if r := s.plan.retry; r != nil {
		return r.codes.likeliest()
	}
	return codes.Unavailable
}

// explained is named without the tries.
func (s *stream) explained(err error) error {
	if s.limited.Record.Received() {
		err = notsent.FromServer(err)
	}
	if reason := s.stopped.Load(); reason != nil {
		if last := s.told.Last(); last != nil {
			err = last
		} else { // found when a message was to be sent, and grpc tells nobody what it was
			err = status.Error(s.likeliest(), "goresilient: the stream failed, and is not tried again: "+string(*reason))
		}
	}
	if status.Code(err) == codes.DeadlineExceeded && s.plan.idle > 0 && context.Cause(s.limited) == error(s.plan.struckIdle) {
		e := *s.plan.struckIdle
		e.Method, e.Err = s.fullName, err
		return &e
	}
	if s.cause == nil {
		return err
	}
	err, _ = told(err, s.limited, s.cause, s.cause.Timeout)
	return err
}
