package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Phase is how a server is from a moment on, until its next phase.
type Phase struct {
	// From is since the beginning of the run.
	From time.Duration
	// Speed is 1 for a server as it should be, 0.5 for one that takes twice as long, 0 for one that stands still: calls
	// that it has begun go on when the speed is above 0 again.
	Speed float64
	// Delay is added to each call that begins.
	Delay time.Duration
	// Failing servers answer with an error after a millisecond, without doing the work.
	Failing bool
}

// Server has workers that take calls from one queue, first come, first served.
type Server struct {
	clock   *Clock
	id      int
	random  *rand.Rand
	workers int // 0: as many as there are calls
	service func(*rand.Rand) time.Duration
	mean    float64 // of service, in nanoseconds
	phases  []Phase // the first one from 0
	down    bool    // no connection can be made
	conns   []*subConn

	busy   int
	coming int     // calls on their way here
	queue  []*call // begins at head
	head   int
	seen   probed
}

// oneWay is how long a message is on its way.
const oneWay = int64(250 * time.Microsecond)

var errFailing = status.Error(codes.Unavailable, "the server fails")

func (s *Server) since() time.Duration { return time.Duration(s.clock.now - origin) }

func (s *Server) phase() Phase {
	now, present := s.since(), s.phases[0]
	for _, p := range s.phases[1:] {
		if p.From <= now {
			present = p
		}
	}
	return present
}

// load is how many calls the server has.
func (s *Server) load() int { return s.busy + len(s.queue) - s.head }

// accept takes a call from the network.
func (s *Server) accept(c *call) {
	s.coming--
	p := s.phase()
	if p.Failing {
		s.clock.after(int64(time.Millisecond), func() { s.reply(c, errFailing) })
		return
	}
	c.arrived, c.met = s.clock.now, s.load()
	if s.workers > 0 && s.busy >= s.workers {
		s.queue = append(s.queue, c)
		return
	}
	s.begin(c)
}

func (s *Server) begin(c *call) {
	s.busy++
	end := s.finish(float64(s.service(s.random)))
	if math.IsInf(end, 1) {
		return // never
	}
	s.clock.at(int64(end)+int64(s.phase().Delay), func() { s.end(c) })
}

// finish returns when work, in nanoseconds at speed 1, that begins now is done.
func (s *Server) finish(work float64) float64 {
	if len(s.phases) == 1 && s.phases[0].Speed > 0 {
		return float64(s.clock.now) + work/s.phases[0].Speed
	}
	at := float64(s.since())
	for i, p := range s.phases {
		until := math.Inf(1)
		if i+1 < len(s.phases) {
			until = float64(s.phases[i+1].From)
		}
		if until <= at {
			continue
		}
		if p.Speed > 0 && work <= (until-at)*p.Speed {
			return float64(origin) + at + work/p.Speed
		}
		if math.IsInf(until, 1) {
			return until
		}
		work -= (until - at) * p.Speed
		at = until
	}
	return math.Inf(1)
}

func (s *Server) end(c *call) {
	s.busy--
	s.seen.note(s.clock.now, s.clock.now-c.arrived, c.met)
	s.reply(c, nil)
	for s.head < len(s.queue) && (s.workers == 0 || s.busy < s.workers) {
		next := s.queue[s.head]
		s.queue[s.head] = nil
		s.head++
		if s.head == len(s.queue) {
			s.queue, s.head = s.queue[:0], 0
		}
		if !next.ended { // the caller has given up, and told so
			s.begin(next)
		}
	}
}

func (s *Server) reply(c *call, err error) {
	s.clock.after(oneWay, func() { c.end(err) })
}

// restart tells all clients to go (GOAWAY), finishes what it has, and takes connections again after away.
func (s *Server) restart(away time.Duration) {
	s.down = true
	for _, sc := range s.conns {
		s.clock.after(oneWay, sc.goAway)
	}
	s.clock.after(int64(away), func() { s.down = false })
}
