// Package clock tells the time that everything is told that decides.
package clock

import "time"

// start is where the clock began, and base what it showed then. In a bubble of testing/synctest it is the year 2000, which is
// long before start: base keeps the time of such a test positive.
var start = time.Now()

const base = 1 << 61 // 73 years

// Now returns the nanoseconds since a fixed moment in the past. It never goes back, and is always positive.
func Now() int64 { return int64(time.Since(start)) + base }
