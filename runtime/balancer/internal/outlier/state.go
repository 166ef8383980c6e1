package outlier

// Standing is what may be sent to an endpoint.
type Standing uint8

const (
	// Well endpoints get their full share of the calls.
	Well Standing = iota
	// OnProbation endpoints get a trickle of calls, by which they are judged.
	OnProbation
	// Ejected endpoints get no calls.
	Ejected
)

// String returns "well", "on probation" or "ejected".
func (s Standing) String() string { return [...]string{"well", "on probation", "ejected"}[s] }

// Reason is why an endpoint is out.
type Reason uint8

const (
	// NoReason is that of endpoints that are well.
	NoReason Reason = iota
	// ByConsecutiveFailures is for failures in a row.
	ByConsecutiveFailures
	// ByFailureRatio is for a share of failures in the interval.
	ByFailureRatio
	// BySuccessRate is for a success rate far below that of the others.
	BySuccessRate
	// ByLatency is for a latency far above that of the others.
	ByLatency
)

// String returns the name of the policy's field, e.g., "failure_ratio"; "" for [NoReason].
func (r Reason) String() string {
	return [...]string{"", "consecutive_failures", "failure_ratio", "success_rate_stdev_factor", "latency_factor"}[r]
}

// Sample is what was counted at an endpoint in one interval.
type Sample struct {
	// Calls have ended in the interval, Failures of them badly. Those that say nothing about the endpoint are in
	// neither.
	Calls, Failures uint32
	// Streak is how many calls have failed in a row by now, in this interval and before it.
	Streak uint32
	// Latency is that of the interval's calls: their mean, or a moving average. The unit is free as long as it is the
	// same for all; 0: unknown.
	Latency float32
}

// State is what a [Detector] knows of one endpoint. The zero value is an endpoint that is well. It takes 40 bytes.
type State struct {
	since  int64 // when it went out, or was last found slow on probation
	sample Sample

	// What the probes of a probation have shown since the last verdict.
	probes     uint32
	probeTotal float32 // latency, summed up
	multiplier uint16  // of the ejection time
	slow       uint8   // verdicts in a row that found it slow, up to slowVerdicts
	standing   Standing
	reason     Reason
	joined     bool
}

// Record gives what was counted since the last sweep, for the next one.
func (s *State) Record(sample Sample) { s.sample = sample }

// Last returns what was last recorded.
func (s *State) Last() Sample { return s.sample }

// Reason returns why the endpoint is out, or would be in a detector that observes.
func (s *State) Reason() Reason { return s.reason }

func (s *State) move(now int64, to Standing, why Reason) {
	s.since, s.standing, s.reason = now, to, why
	s.probes, s.probeTotal, s.slow = 0, 0, 0
}
