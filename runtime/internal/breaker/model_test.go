package breaker

import (
	"slices"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/window"
)

// model is the breaker as one would write it for a single goroutine, with no thought of cost: it keeps every call, and
// judges at each bad one.
type model struct {
	cfg     Config
	clock   *window.Window // only for the bounds of its buckets
	epoch   int
	state   State
	since   int64
	until   int64
	openFor time.Duration
	events  []event // closed: calls of the window; half-open: results
	out     int     // half-open: probes let through
	lastAt  int64
	refused uint64
	changes []change
}

type event struct {
	tick         uint32
	failed, slow bool
}

func newModel(cfg Config) *model {
	return &model{cfg: cfg, clock: window.New(cfg.Window)}
}

func (m *model) enter(s State, now int64) {
	m.changes = append(m.changes, change{m.state, s})
	if s == Open {
		rested := m.since+int64(max(m.openFor, m.cfg.Window)) <= now
		if m.openFor == 0 || (m.state == Closed && rested) {
			m.openFor = m.cfg.OpenDuration
		} else {
			m.openFor = min(2*m.openFor, m.cfg.MaxOpenDuration)
		}
		m.until = now + int64(m.openFor)
	}
	m.epoch++
	m.state, m.since, m.lastAt, m.out, m.events = s, now, now, 0, nil
}

// allow returns the epoch of the permit, or -1.
func (m *model) allow(now int64) int {
	if m.state == Open && now >= m.until {
		m.enter(HalfOpen, now)
	}
	if m.state == HalfOpen && m.out == m.cfg.HalfOpenCalls && now-m.lastAt >= int64(m.openFor) {
		m.epoch++
		m.out = len(m.events)
	}
	switch {
	case m.state == Closed:
		return m.epoch
	case m.state == HalfOpen && m.out < m.cfg.HalfOpenCalls:
		m.out++
		m.lastAt = now
		return m.epoch
	}
	m.refused++
	return -1
}

func (m *model) done(epoch int, now int64, o Outcome, took time.Duration) {
	if epoch != m.epoch {
		return
	}
	if o == Neutral {
		m.out--
		return
	}
	e := event{m.clock.Tick(now), o == Failure, m.cfg.SlowCallRatio > 0 && took >= m.cfg.SlowCallDuration}
	m.events = append(m.events, e)
	all := m.cfg.HalfOpenCalls
	if m.state == Closed {
		m.forget(now)
		all = len(m.events)
		if all < m.cfg.MinimumCalls || !e.failed && !e.slow {
			return
		}
	}
	_, failures, slow := m.count()
	switch {
	case m.exceeds(failures, all, m.cfg.FailureRatio), m.exceeds(slow, all, m.cfg.SlowCallRatio):
		m.enter(Open, now)
	case m.state == HalfOpen && len(m.events) == all:
		m.enter(Closed, now)
	}
}

func (m *model) exceeds(bad uint64, all int, ratio float64) bool {
	return ratio > 0 && float64(bad)/float64(all) >= ratio
}

func (m *model) forget(now int64) {
	if m.state == Closed {
		tick := m.clock.Tick(now)
		m.events = slices.DeleteFunc(m.events, func(e event) bool { return tick-e.tick >= 16 })
	}
}

func (m *model) count() (calls, failures, slow uint64) {
	for _, e := range m.events {
		calls++
		if e.failed {
			failures++
		}
		if e.slow {
			slow++
		}
	}
	return calls, failures, slow
}

func (m *model) counts(now int64) Counts {
	m.forget(now)
	c := Counts{Refused: m.refused}
	c.Calls, c.Failures, c.Slow = m.count()
	return c
}
