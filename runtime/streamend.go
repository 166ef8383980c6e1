package goresilient

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/limit"
)

// finished is told by grpc of the end of each try of the stream. Interceptors may make several, so that it need not be the end of the
// stream: whoever uses the stream learns of that. But where the connection was closed there is no other try, and nobody need come.
func (s *stream) finished(err error) {
	if !s.open.Load() || s.method.client.grpc.GetState() != connectivity.Shutdown {
		return
	}
	s.unwatch()
	s.ended(s.named(err))
}

// ended takes the end of the stream into account, once.
func (s *stream) ended(err error) {
	s.once.Do(func() {
		if err == io.EOF {
			err = nil
		}
		s.settle(err)
		if s.exhausted(err) {
			pushBack(s.ctx)
		}
		s.free()
		tries := s.attempts(err)
		if o := s.method.client.observer; o != nil {
			for _, a := range tries {
				o.Observe(s.ctx, &AttemptEvent{Method: s.fullName, Attempt: a})
			}
		}
		s.report(err, max(1, len(tries)))
	})
}

// described returns err, with which the stream ends, with what became of each try, as far as the balancer knows.
func (s *stream) described(err error) error {
	if refusedHere(err) {
		return err
	}
	return &CallError{Method: s.fullName, Attempts: s.attempts(err), Stopped: s.stopReason(err), Err: err}
}

// attempts returns what became of each try of a stream that ends with err: the last one with that.
func (s *stream) attempts(err error) []Attempt {
	var told *CallError
	if errors.As(err, &told) && told.Method == s.fullName {
		return told.Attempts
	}
	tries := s.told.Tries()
	if len(tries) == 0 { // nobody knows, but that there was one
		return []Attempt{{Number: 1, Code: status.Code(err), Err: err, Duration: time.Duration(clock.Now() - s.start)}}
	}
	list := make([]Attempt, 0, len(tries))
	for i, t := range tries {
		a := Attempt{Number: i + 1, Endpoint: t.Endpoint.ID(), Err: t.Err, Start: time.Duration(t.Began - s.start)}
		if t.Ended == 0 {
			t.Ended = clock.Now()
		}
		switch {
		case i == len(tries)-1 && s.stopped.Load() == nil:
			a.Err = err
		case t.Err == nil: // found when a message was to be sent, and grpc tells nobody what it was
			a.Err = status.Error(s.likeliest(), "goresilient: the stream failed")
		}
		a.Code, a.Duration = status.Code(a.Err), time.Duration(t.Ended-t.Began)
		list = append(list, a)
	}
	return list
}

// stopReason returns why the stream, which ends with err, is not tried again.
func (s *stream) stopReason(err error) StopReason {
	r, code := s.plan.retry, status.Code(err)
	var struck *DeadlineError
	switch reason := s.stopped.Load(); {
	case reason != nil:
		return *reason
	case isCancelled(s.ctx):
		return gaveUp(s.ctx)
	case errors.As(err, &struck):
		return StoppedByDeadline
	case code == codes.Canceled && s.method.client.isGone():
		return StoppedByClose
	case r == nil:
		return StoppedByPolicy
	case !r.codes.has(code):
		return StoppedByCode
	case s.told.Picks() >= r.maxAttempts:
		return StoppedByAttempts
	case len(s.limited.Record.Pushback()) > 0:
		return StoppedByServer // whom grpc obeys by itself
	default:
		return StoppedByCommit
	}
}

// abandon ends a stream of which nothing is known, since an interceptor has panicked.
func (s *stream) abandon() {
	s.once.Do(func() {
		now := clock.Now()
		s.plan.guards.abandon(&s.admitted, now)
		s.plan.guards.release(&s.held, limit.Ignored, now)
		s.free()
	})
}

// free gives up what the stream holds besides its permits.
func (s *stream) free() {
	if s.limited != nil {
		s.limited.Release()
		s.stopIdle()
	}
	s.counted()
}

// settle tells the guards, and the balancer, how the stream has ended. How long it lived says nothing of its server: it is never a slow
// call, and no sample of an adaptive limit.
func (s *stream) settle(err error) {
	g, now := &s.plan.guards, clock.Now()
	code, blameless, outcome := codes.OK, false, limit.Ignored
	if err != nil {
		code, blameless = verdictOn(s.ctx, err, now-s.start)
		if outcome = limitOutcome(s.ctx, err, s.start); outcome == limit.Success {
			outcome = limit.Ignored
		}
	}
	if s.wentOn(err) {
		err, blameless, outcome = nil, true, limit.Ignored
	}
	if g.throttle != nil || g.breakers {
		s.guarded.Lock()
		if err != nil || !g.ordinary(&s.admitted, 0) {
			g.flush(now)
		}
		g.judge(&s.admitted, code, blameless, 0, now)
		s.admitted = admission{} // a message that is read after this decides nothing
		s.guarded.Unlock()
	}
	if g.limited {
		g.release(&s.held, outcome, now)
	}
	s.told.Report(err)
}

// wentOn tells whether the stream, which ended with err, had answers until its deadline, or its caller's, or until it had been idle for
// too long, or was not to be answered yet: its server is not to blame.
func (s *stream) wentOn(err error) bool {
	if err == nil || status.Code(err) != codes.DeadlineExceeded {
		return false
	}
	uploads := s.desc.ClientStreams && !s.desc.ServerStreams && !s.halfClosed.Load()
	if !s.answered.Load() && !uploads {
		return false
	}
	var own *DeadlineError
	return errors.As(err, &own) || s.ctx.Err() != nil || deadline.Over(s.ctx, time.Duration(clock.Now()-s.start))
}

// heard takes the first message into account. A stream may live for as long as it likes: if it is a breaker's probe, its first message
// decides.
func (s *stream) heard() {
	if s.answered.Swap(true) || !s.plan.guards.breakers {
		return
	}
	s.guarded.Lock()
	defer s.guarded.Unlock()
	g, now := &s.plan.guards, clock.Now()
	g.own.probed(&s.admitted.own, now)
	g.service.probed(&s.admitted.service, now)
}

// probed reports that the probe p, if it is one, has gone well, and takes it away.
func (s *scope) probed(p *breaker.Permit, now int64) {
	if s.breaker == nil || s.breaker.Ordinary(*p, 0) {
		return
	}
	s.breaker.Done(*p, now, breaker.Success, 0)
	*p = breaker.Permit{}
}

// exhausted tells whether the stream failed for good, before it had begun to answer, after all the tries that policy allows.
func (s *stream) exhausted(err error) bool {
	r := s.plan.retry
	if err == nil || r == nil || s.answered.Load() {
		return false
	}
	if reason := s.stopped.Load(); reason != nil {
		return *reason == StoppedByBudget
	}
	return r.codes.has(status.Code(err)) && s.told.Picks() >= r.maxAttempts
}

// report tells the observer of the end.
func (s *stream) report(err error, attempts int) {
	if o := s.method.client.observer; o != nil {
		o.Observe(s.ctx, &CallEvent{Method: s.fullName, Attempts: attempts, Code: status.Code(err), Err: err,
			Duration: time.Duration(clock.Now() - s.start)})
	}
}
