// Package alarm has timers that are used again. A deadline is set for each attempt and hardly ever strikes: what a timer
// takes is mostly its making.
package alarm

import (
	"sync"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// Target is what an alarm calls.
type Target interface {
	// Ring is called on a goroutine of its own.
	Ring()
}

// Alarm calls its target once, unless it is stopped before. Its methods are not for concurrent use.
type Alarm struct {
	timer  *time.Timer
	target Target
	pooled bool // it may be used again
}

// pool holds alarms that were stopped: their timers are not set, and their functions do not run. It is the process's, as the
// timers of the runtime are: calls of all clients set the same ones.
var pool sync.Pool

// Set returns an alarm that rings after d, seen from now, which is the time of [clock.Now].
func Set(now int64, d time.Duration, target Target) *Alarm {
	if clock.Simulated(now) { // a timer belongs to the bubble in which it was made
		return newAlarm(d, target, false)
	}
	a, _ := pool.Get().(*Alarm)
	if a == nil {
		return newAlarm(d, target, true)
	}
	a.target = target
	a.timer.Reset(d)
	return a
}

func newAlarm(d time.Duration, target Target, pooled bool) *Alarm {
	a := &Alarm{target: target, pooled: pooled}
	a.timer = time.AfterFunc(d, a.ring)
	return a
}

func (a *Alarm) ring() { a.target.Ring() }

// Stop keeps the alarm from ringing. It returns false if it comes too late. The alarm must not be used afterwards.
func (a *Alarm) Stop() bool {
	if !a.timer.Stop() {
		return false // ring may still read the target
	}
	a.target = nil
	if a.pooled {
		pool.Put(a)
	}
	return true
}
