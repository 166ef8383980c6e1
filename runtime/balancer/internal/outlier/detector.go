package outlier

import "math"

const (
	// slowVerdicts in a row put an endpoint on probation.
	slowVerdicts = 2
	// probesForVerdict is how many calls on probation are judged together: one alone says little.
	probesForVerdict = 5
	// tolerance keeps what rounding does to equal success rates from counting as a difference.
	tolerance = 1e-9
)

// Detector takes endpoints out and lets them back in. It must be used by one goroutine at a time.
type Detector struct {
	cfg     Config
	members int // that have joined
	out     int // of them, ejected or on probation

	latencies []float32 // of a sweep; kept for the next
}

// Change is an endpoint's change of standing. A detector that observes reports what it would have done.
type Change struct {
	From, To Standing
	// Reason is why it went out, or why it was.
	Reason Reason
}

// NewDetector returns a detector without endpoints.
func NewDetector(cfg Config) *Detector { return &Detector{cfg: cfg} }

// Configure has the detector go on with cfg. Who is out stays out, and comes back by the rules of cfg: at the next
// sweep if cfg allows fewer, or looks at latency no longer. Where Observe changes, so do the standings, at once.
func (d *Detector) Configure(cfg Config) { d.cfg = cfg }

// Join adds an endpoint. What its state says from an earlier time still holds.
func (d *Detector) Join(s *State) {
	if s.joined {
		return
	}
	s.joined = true
	d.members++
	if s.standing != Well {
		d.out++
	}
}

// Leave removes an endpoint. Its state may be dropped, or kept for another Join: it does not forget that the endpoint
// is out.
func (d *Detector) Leave(s *State) {
	if !s.joined {
		return
	}
	s.joined, s.slow, s.sample = false, 0, Sample{}
	d.members--
	if s.standing != Well {
		d.out--
	}
}

// Out returns how many endpoints are ejected or on probation, or would be.
func (d *Detector) Out() int { return d.out }

// Standing returns what may be sent to an endpoint.
func (d *Detector) Standing(s *State) Standing {
	if d.cfg.Observe {
		return Well
	}
	return s.standing
}

// Consecutive tells that streak calls have failed in a row at an endpoint that has joined, as it happens. ok is whether
// that ejects it. Where the allowed share keeps it in, the next sweep looks again.
func (d *Detector) Consecutive(now int64, s *State, streak uint32) (c Change, ok bool) {
	if !s.joined || s.standing == Ejected || !d.breaks(streak) {
		return Change{}, false
	}
	return d.eject(now, s, ByConsecutiveFailures)
}

func (d *Detector) breaks(streak uint32) bool {
	return d.cfg.ConsecutiveFailures > 0 && streak >= d.cfg.ConsecutiveFailures
}

// Sweep judges the n endpoints that have joined by what was recorded since the last sweep, and lets back in those
// whose time is over. It tells each change with the index of the endpoint. It goes through the endpoints a fixed
// number of times and allocates nothing once it has seen as many.
func (d *Detector) Sweep(now int64, n int, at func(i int) *State, changed func(i int, c Change)) {
	peers := d.compare(n, at)
	tell := func(i int, c Change, ok bool) {
		if ok && changed != nil {
			changed(i, c)
		}
	}
	for i := range n {
		s := at(i)
		if s.standing != Ejected {
			if why := d.failing(s, peers); why != NoReason {
				c, ok := d.eject(now, s, why)
				tell(i, c, ok)
			}
		}
		if s.standing != Ejected {
			c, ok := d.latency(now, s, peers)
			tell(i, c, ok)
		}
	}
	for i := range n {
		s := at(i)
		switch {
		case s.standing == Ejected && now-s.since >= int64(d.cfg.ejectionTime(s.multiplier)):
			tell(i, d.readmit(now, s), true)
		case s.standing != Ejected && s.multiplier > 0:
			s.multiplier--
		}
	}
	// Endpoints have left, or the policy has changed: better one that does badly than too few.
	for i := 0; i < n && d.out > d.cfg.allowed(d.members); i++ {
		if s := at(i); s.standing != Well {
			tell(i, d.readmit(now, s), true)
		}
	}
}

// peers is what an endpoint is compared with.
type peers struct {
	required float64 // success rate below which an endpoint is ejected
	latency  float32 // the median; 0 if too few endpoints can be compared
}

// compare works out what the endpoints with enough calls have in common.
func (d *Detector) compare(n int, at func(i int) *State) peers {
	p := peers{required: math.Inf(-1)}
	rates, timed := 0, d.latencies[:0]
	var sum float64
	for i := range n {
		s := at(i)
		if s.sample.Calls < d.cfg.MinimumCalls || s.sample.Calls == 0 {
			continue
		}
		rates++
		sum += s.sample.successRate()
		if d.cfg.LatencyFactor > 0 && s.standing == Well && s.sample.Latency > 0 {
			timed = append(timed, s.sample.Latency)
		}
	}
	d.latencies = timed
	minimum := int(d.cfg.MinimumEndpoints)
	if d.cfg.SuccessRateStdevFactor > 0 && rates >= max(1, minimum) {
		mean := sum / float64(rates)
		p.required = mean - d.cfg.SuccessRateStdevFactor*d.deviation(mean, rates, n, at) - tolerance
	}
	if len(timed) >= max(1, minimum) {
		p.latency = lowerMedian(timed)
	}
	return p
}

// deviation returns the standard deviation of the success rates: that of the population, as in A50.
func (d *Detector) deviation(mean float64, rates, n int, at func(i int) *State) float64 {
	var squares float64
	for i := range n {
		if s := at(i); s.sample.Calls >= d.cfg.MinimumCalls && s.sample.Calls > 0 {
			off := s.sample.successRate() - mean
			squares += off * off
		}
	}
	return math.Sqrt(squares / float64(rates))
}

func (s *Sample) successRate() float64 {
	return float64(s.Calls-min(s.Failures, s.Calls)) / float64(s.Calls)
}

// failing returns why an endpoint is to be ejected, in the order of A50.
func (d *Detector) failing(s *State, p peers) Reason {
	if s.sample.Calls >= d.cfg.MinimumCalls && s.sample.Calls > 0 {
		rate := s.sample.successRate()
		switch {
		case rate < p.required:
			return BySuccessRate
		case d.cfg.FailureRatio > 0 && 1-rate >= d.cfg.FailureRatio-tolerance:
			return ByFailureRatio
		}
	}
	if d.breaks(s.sample.Streak) {
		return ByConsecutiveFailures
	}
	return NoReason
}

// latency puts an endpoint on probation that two verdicts in a row have found slow, and ends the probation of one whose
// probes are near the others again: at most half as far above the median as what is slow, lest it go to and fro. The
// verdicts are those of sweeps in which it, and enough others, had enough calls.
func (d *Detector) latency(now int64, s *State, p peers) (Change, bool) {
	if s.standing == OnProbation {
		return d.probe(now, s, p)
	}
	if p.latency == 0 || s.sample.Latency == 0 || s.sample.Calls < d.cfg.MinimumCalls {
		return Change{}, false
	}
	if s.sample.Latency < p.latency*float32(d.cfg.LatencyFactor) {
		s.slow = 0
		return Change{}, false
	}
	s.slow = min(s.slow+1, slowVerdicts)
	if s.slow < slowVerdicts || d.out >= d.cfg.allowed(d.members) {
		return Change{}, false
	}
	d.out++
	s.move(now, OnProbation, ByLatency)
	return Change{From: Well, To: OnProbation, Reason: ByLatency}, true
}

// probe judges an endpoint on probation. Without a verdict for as long as the longest ejection, it comes back: too few
// calls reach it, or its peers, to tell.
func (d *Detector) probe(now int64, s *State, p peers) (Change, bool) {
	if d.cfg.LatencyFactor == 0 {
		return d.readmit(now, s), true
	}
	if s.sample.Latency > 0 {
		s.probes += s.sample.Calls
		s.probeTotal += s.sample.Latency * float32(s.sample.Calls)
	}
	if s.probes >= probesForVerdict && p.latency > 0 {
		near := p.latency * float32(1+(d.cfg.LatencyFactor-1)/2)
		if s.probeTotal/float32(s.probes) <= near {
			return d.readmit(now, s), true
		}
		s.since, s.probes, s.probeTotal = now, 0, 0
	}
	if now-s.since >= int64(d.cfg.longest()) {
		return d.readmit(now, s), true
	}
	return Change{}, false
}

// eject takes an endpoint out, if one more may be.
func (d *Detector) eject(now int64, s *State, why Reason) (Change, bool) {
	from := s.standing
	if from == Well {
		if d.out >= d.cfg.allowed(d.members) {
			return Change{}, false
		}
		d.out++
	}
	// A multiplier beyond the longest time would lengthen nothing, and only take longer to decay.
	if d.cfg.ejectionTime(s.multiplier) < d.cfg.longest() && s.multiplier < math.MaxUint16 {
		s.multiplier++
	}
	s.move(now, Ejected, why)
	return Change{From: from, To: Ejected, Reason: why}, true
}

// readmit lets an endpoint back in.
func (d *Detector) readmit(now int64, s *State) Change {
	c := Change{From: s.standing, To: Well, Reason: s.reason}
	d.out--
	s.move(now, Well, NoReason)
	return c
}
