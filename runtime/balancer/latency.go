package balancer

// smoothing is how the policies that choose by latency learn from the calls that end.
type smoothing struct {
	rise, fall rate // of the average latency; a rise of 0: a peak counts at once
	forget     rate // of failures
}

const (
	// failureStep is by how much of what is left to 1 a failure raises the share of failures, and a success lowers it.
	failureStep = 0.25
	// fewFailures is the share of failures below which there are none.
	fewFailures = 0.05
	// mostFailures keeps the cost of an endpoint that does nothing but fail within 10 000 times that of its peers.
	mostFailures = 0.99
)

// learn has the averages follow a timed call that took as long, in nanoseconds. One that failed, or was given up without a
// sign of the server, does not tell how long a call takes, but that one takes as long at least: a fast failure must not make an
// endpoint look fast, and one whose calls are all superseded by hedges must not look as if it had not been tried.
func (l *load) learn(now, took int64, said outcome, s *smoothing) {
	if said != neutral && (said == failure || l.trouble.any()) {
		l.blame(now, said == failure, s.forget)
	}
	if said != success {
		latency := l.latency.read(now)
		if float32(took) < latency.value || said == failure && latency.value == 0 {
			return
		}
	}
	l.latency.move(now, float32(took), s.rise, s.fall)
}

// blame has the share of failures follow a call that failed or succeeded.
func (l *load) blame(now int64, failed bool, forget rate) {
	share := l.trouble.read(now).at(forget)
	if failed {
		l.trouble.set(now, min(mostFailures, share+(1-share)*failureStep))
		return
	}
	if share *= 1 - failureStep; share < fewFailures {
		share = 0
	}
	l.trouble.set(now, share)
}

// failing returns by how much the failures of late raise the cost of the endpoint, 1 if there are none: the square of how
// many calls it takes to have a success.
func (l *load) failing(now int64, forget rate) float32 {
	trouble := l.trouble.read(now)
	if trouble.value == 0 {
		return 1
	}
	p := trouble.at(forget)
	if p < fewFailures {
		return 1
	}
	return 1 / ((1 - p) * (1 - p))
}
