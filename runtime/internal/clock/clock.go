// Package clock is the clock of everything that decides.
package clock

import (
	"math"
	"sync/atomic"
	"time"
)

// start is where the clock began, and base what it showed then. In a bubble of testing/synctest it is the year 2000, which is
// long before start: base keeps the time of such a test positive.
var start = time.Now()

const base = 1 << 61 // 73 years

// Now returns the nanoseconds since a fixed moment in the past. It never goes back, and is always positive.
func Now() int64 { return int64(time.Since(start)) + base }

// Add returns when d, which is not negative, has passed since now, or the last moment that there is.
func Add(now int64, d time.Duration) int64 {
	if int64(d) > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + int64(d)
}

// Time returns the time at which Now returned now, with a reading of the monotonic clock.
func Time(now int64) time.Time {
	if a := anchor.Load(); a != nil && uint64(now-a.now) < anchored {
		return a.time.Add(time.Duration(now - a.now))
	}
	return renew(now)
}

// Simulated tells whether now is the time of a bubble of testing/synctest.
func Simulated(now int64) bool { return now < base }

// anchor ties Now to the time of day. It is renewed, since the time of day may be set while the process runs. All readers of a
// process share it: it holds nothing but two readings of the same moment.
var anchor atomic.Pointer[moment]

type moment struct {
	time time.Time
	now  int64 // what Now returned then
}

// anchored is for how long an anchor is used.
const anchored = uint64(time.Second)

func renew(now int64) time.Time {
	t := time.Now()
	m := &moment{t, int64(t.Sub(start)) + base}
	anchor.Store(m)
	return t.Add(time.Duration(now - m.now))
}
