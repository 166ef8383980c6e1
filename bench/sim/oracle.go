package sim

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
)

// oracle knows the servers: how many calls each one has and will get, and how fast it will be. It sends each call where it
// can be expected to end first. No client could do so.
type oracle struct {
	random  *rand.Rand
	servers []*Server
}

func newOracle(_ *Clock, random *rand.Rand, servers []*Server) rule { return &oracle{random, servers} }

func (o *oracle) pick(int64) (int, func(balancer.DoneInfo)) {
	best, least, ties := 0, 0.0, 0
	for i, s := range o.servers {
		end := s.expect()
		switch {
		case ties == 0 || end < least:
			best, least, ties = i, end, 1
		case end == least:
			ties++
			if o.random.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best, nil
}

// expect returns when a call that is sent now can be expected to end.
func (s *Server) expect() float64 {
	p := s.phase()
	if p.Failing {
		return s.finish(float64(time.Hour))
	}
	work := s.mean
	if ahead := s.load() + s.coming - s.workers; s.workers > 0 && ahead >= 0 {
		work += s.mean * float64(ahead+1) / float64(s.workers)
	}
	return s.finish(work) + float64(p.Delay)
}
