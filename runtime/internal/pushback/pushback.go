// Package pushback reads what a server says about further attempts (gRFC A6, "Pushback").
package pushback

import (
	"strconv"
	"time"
)

// Key is the name of the trailer.
const Key = "grpc-retry-pushback-ms"

// Parse reads the values of the trailer [Key], as gRPC metadata gives them. present tells whether there are any. Then
// either wait is the time after which the next attempt is to be made, in place of a backoff, or stop tells that there
// is to be none: the number is negative, or it is not one that gRFC A6 allows (a signed 32-bit number of milliseconds
// in ASCII, without needless zeros), or there are several values, of which nobody knows which one counts.
//
// After a pushback the backoff begins anew.
func Parse(values []string) (wait time.Duration, present, stop bool) {
	if len(values) == 0 {
		return 0, false, false
	}
	if len(values) > 1 {
		return 0, true, true
	}
	ms, err := strconv.ParseInt(values[0], 10, 32)
	// What reads as a number but is not written as one: "+5", "007", "-0".
	if err != nil || ms < 0 || strconv.FormatInt(ms, 10) != values[0] {
		return 0, true, true
	}
	return time.Duration(ms) * time.Millisecond, true, false
}
