package goresilient

import (
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// watchIdle ends the stream once somebody has waited for it, and no message has passed, for as long as policy allows. While nobody
// waits, messages may come that nobody has asked for yet: the stream is not idle.
func (s *stream) watchIdle() {
	if s.plan.idle <= 0 {
		return
	}
	s.passed()
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.limited.Err() == nil {
		s.idle = time.AfterFunc(s.plan.idle, s.checkIdle)
	}
}

// checkIdle is called by the timer.
func (s *stream) checkIdle() {
	if s.waiting.Load() == 0 {
		s.passed()
	}
	left := s.plan.idle - time.Duration(clock.Now()-s.last.Load())
	if left <= 0 {
		s.limited.Expire(s.plan.struckIdle)
		return
	}
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.limited.Err() == nil {
		s.idle.Reset(left)
	}
}

// stopIdle ends the watch; the context has ended.
func (s *stream) stopIdle() {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.idle != nil {
		s.idle.Stop()
	}
}

func (s *stream) passed() {
	if s.plan.idle > 0 {
		s.last.Store(clock.Now())
	}
}
