package outlier

import "time"

// Config is when endpoints are taken out, and for how long. Its values are those of the policy's outlier_detection,
// with its defaults filled in and within its ranges. It is comparable.
type Config struct {
	// Observe has the detector do everything but report [Well] as the standing of every endpoint.
	Observe bool
	// BaseEjectionTime is how long a first ejection lasts, MaxEjectionTime how long any lasts at most; the greater of
	// both counts, as in A50.
	BaseEjectionTime, MaxEjectionTime time.Duration
	// MaxEjectedRatio is the share of the endpoints that may be out at once, in (0, 1]. It always allows one of two
	// or more.
	MaxEjectedRatio float64
	// ConsecutiveFailures in a row eject; 0: not looked at.
	ConsecutiveFailures uint32
	// FailureRatio of the calls in an interval ejects; 0: not looked at.
	FailureRatio float64
	// SuccessRateStdevFactor is how many standard deviations below the mean of all the success rate ejects; 0: not
	// looked at.
	SuccessRateStdevFactor float64
	// LatencyFactor is how many times the median latency puts on probation, above 1; 0: not looked at.
	LatencyFactor float64
	// MinimumCalls is how many calls an endpoint needs in an interval to be judged by anything but failures in a row.
	MinimumCalls uint32
	// MinimumEndpoints is how many must have MinimumCalls before one is compared with the others: by success rate or
	// latency. A failure ratio stands on its own; that A50 asks for a minimum there too would leave small sets
	// without it.
	MinimumEndpoints uint32
}

// allowed returns how many of n endpoints may be out at once: at least one, but not the only one there is, which
// cannot do worse than its peers.
func (c *Config) allowed(n int) int {
	if n < 2 {
		return 0
	}
	const rounding = 1e-9 // 0.07 × 100 is 7.000000000000001, and 0.29 × 100 is 28.999999999999996
	return max(1, min(n, int(c.MaxEjectedRatio*float64(n)+rounding)))
}

// longest returns how long an ejection lasts at most.
func (c *Config) longest() time.Duration { return max(c.BaseEjectionTime, c.MaxEjectionTime) }

// ejectionTime returns how long an ejection lasts: multiplier times the base.
func (c *Config) ejectionTime(multiplier uint16) time.Duration {
	longest := c.longest()
	if time.Duration(multiplier) > longest/max(1, c.BaseEjectionTime) {
		return longest
	}
	return c.BaseEjectionTime * time.Duration(multiplier)
}
