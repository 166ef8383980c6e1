package balancer

import (
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// slowStart raises the share of an endpoint that has just become READY: from minShare to 1, linearly over window. The share
// is told relative to the highest one in the group, so that a channel which has just come up has no slow start: nobody is
// there to take the calls instead.
//
// Channel.mu guards it. It has a timer while an endpoint has less than its full share.
type slowStart struct {
	pool     *pool
	window   time.Duration // 0: off
	minShare float64
	ticks    wakeup
	cold     []*endpoint // those below the full share, and some that are no longer READY
}

// warmup is what a group has for slow start: the highest share among its READY endpoints, 0 if none is known.
type warmup struct {
	cold int // READY endpoints below the full share; of use within tick alone
	top  float64
}

// configure takes new settings. Endpoints that are READY go on from where they are.
func (s *slowStart) configure(cfg *policy.SlowStart) {
	if cfg == nil || policy.Value(cfg.Disabled) {
		s.window = 0
		s.stop()
		return
	}
	cfg = policy.Complete(&policy.Service{LoadBalancing: &policy.LoadBalancing{SlowStart: cfg}}).LoadBalancing.SlowStart
	s.window, s.minShare = *cfg.Window, *cfg.MinWeightRatio
}

// begin has an endpoint that has just become READY begin with a small share.
func (s *slowStart) begin(e *endpoint) {
	if s.window == 0 {
		return
	}
	e.readyAt = s.pool.ch.opts.Now()
	e.warmth = float32(s.minShare)
	if !e.cold {
		e.cold = true
		s.cold = append(s.cold, e)
	}
	switch g := e.group; {
	case g.ready() == 1:
		g.top = s.minShare
	case g.top == 0: // the group is new, or slow start is: the others may be warm
		s.warm()
	}
	e.spread()
	s.arm()
}

func (s *slowStart) arm() {
	if !s.ticks.isSet() {
		s.ticks.set(s.pool.ch, max(s.window/100, 100*time.Millisecond), s.tick)
	}
}

// tick brings the shares up to date from time to time.
func (s *slowStart) tick() {
	s.warm()
	if len(s.cold) > 0 {
		s.arm()
		return
	}
	s.pool.out.soon() // a picker that no longer looks at shares
}

// warm brings all shares up to date.
func (s *slowStart) warm() {
	for g := range s.pool.groups() {
		g.warmup = warmup{}
	}
	now, left := s.pool.ch.opts.Now(), s.cold[:0]
	for _, e := range s.cold {
		age := float64(now-e.readyAt) / float64(s.window)
		if age >= 1 || e.group == nil || !e.is(connectivity.Ready) {
			e.cold = false
			e.spread()
			continue
		}
		warmth := s.minShare + (1-s.minShare)*age
		e.warmth = float32(warmth)
		e.group.cold++
		e.group.top = max(e.group.top, warmth)
		left = append(left, e)
	}
	clear(s.cold[len(left):])
	s.cold = left
	for g := range s.pool.groups() {
		if g.ready() > g.warmup.cold {
			g.top = 1
		}
	}
	for _, e := range s.cold {
		e.spread()
	}
}

// stop gives every endpoint its full share.
func (s *slowStart) stop() {
	s.ticks.stop()
	s.pool.grown = s.pool.grown || len(s.cold) > 0 // a picker that no longer looks at shares
	for _, e := range s.cold {
		e.cold = false
		e.spread()
	}
	s.cold = nil
}
