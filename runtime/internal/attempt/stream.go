package attempt

import (
	"slices"
	"sync"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// maxTried is how many endpoints a stream remembers. grpc makes five attempts of one at most.
const maxTried = 5

// Stream is what a stream tells the balancer, and the balancer a stream, beyond a [Record]: grpc may repeat a stream beneath
// one and the same record, how long it takes says nothing of its endpoint, and where grpc tells the balancer of no error it
// may have failed all the same.
type Stream struct {
	// Gate, if not nil, is asked before each pick with the number of picks that came before it and reached a server. It
	// stops a retry that grpc makes of its own accord. Its error must be a gRPC status.
	Gate func(picks int) error

	mu       sync.Mutex // guards what follows
	picks    int
	earlier  [maxTried]Endpoint // where it was before it was repeated
	repeats  int                // how many of earlier are in use
	judge    func(error)        // of what has ended without an error; nil if there is none
	reported bool
	verdict  error // what was reported
	last     error // how the pick that ended last has ended
	tries    []Try
	vain     bool // the pick that ends next led nowhere
}

// Try is one pick for a stream.
type Try struct {
	Endpoint Endpoint
	Began    int64 // by [clock.Now]
	Ended    int64 // 0 while it goes on
	Err      error // how it ended, as far as grpc told the balancer
}

// Tries returns the picks that reached a server, in order.
func (s *Stream) Tries() []Try {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tries)
}

func (s *Stream) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = err
	if s.vain {
		s.vain = false
	} else if n := len(s.tries); n > 0 {
		s.tries[n-1].Ended, s.tries[n-1].Err = clock.Now(), err
	}
}

// Last returns how the pick that ended last has ended.
func (s *Stream) Last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Lasted returns how long the try that ended last has taken; 0 if none has ended.
func (s *Stream) Lasted() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range slices.Backward(s.tries) {
		if t.Ended != 0 {
			return time.Duration(t.Ended - t.Began)
		}
	}
	return 0
}

// Picks returns how many picks there were that reached a server.
func (s *Stream) Picks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.picks
}

func (s *Stream) tried(e Endpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.earlier[:s.repeats] {
		if t == e {
			return true
		}
	}
	return false
}

func (s *Stream) begin() error {
	if s.Gate == nil {
		return nil
	}
	s.mu.Lock()
	picks := s.picks
	s.mu.Unlock()
	return s.Gate(picks)
}

// picked notes a pick that leads to e and away from before, which is nil for the first.
func (s *Stream) picked(before, e Endpoint) {
	s.mu.Lock()
	s.vain = false
	s.tries = append(s.tries, Try{Endpoint: e, Began: clock.Now()})
	judge := s.judge
	s.judge = nil
	s.picks++
	if before != nil && s.repeats < maxTried {
		s.earlier[s.repeats] = before
		s.repeats++
	}
	s.mu.Unlock()
	if judge != nil {
		judge(ErrRepeated)
	}
}

func (s *Stream) missed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.picks > 0 {
		s.picks--
	}
	if n := len(s.tries); n > 0 {
		s.tries, s.vain = s.tries[:n-1], true
	}
}

// Defer is called by the balancer when what it picked has ended without an error. judge is called, once, with how it ended.
func (s *Stream) Defer(judge func(error)) {
	s.mu.Lock()
	if !s.reported {
		s.judge = judge
		s.mu.Unlock()
		return
	}
	verdict := s.verdict
	s.mu.Unlock()
	judge(verdict)
}

// Report is called by the client, once, with how the stream has ended.
func (s *Stream) Report(err error) {
	s.mu.Lock()
	judge := s.judge
	s.judge, s.reported, s.verdict = nil, true, err
	s.mu.Unlock()
	if judge != nil {
		judge(err)
	}
}
