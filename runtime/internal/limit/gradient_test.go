package limit

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// server is a simulation of one that works on so many calls at a time and lets others wait, behind a limiter.
type server struct {
	workers int
	service func() float64 // seconds
	busy    ends           // when each worker that works is done
	queue   []float64      // when the calls that wait were sent
}

type ends []completion

type completion struct{ at, sent float64 }

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(completion)) }
func (e *ends) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

func (s *server) start(now, sent float64) {
	heap.Push(&s.busy, completion{now + s.service(), sent})
}

// run offers perSecond calls a second from a time to another, and returns how many got through.
func (s *server) run(l *Limiter, random *rand.Rand, from, to, perSecond float64) (served int) {
	next := from
	for next < to {
		if len(s.busy) > 0 && s.busy[0].at <= next {
			c := heap.Pop(&s.busy).(completion)
			l.Release(int64(c.at*1e9), time.Duration((c.at-c.sent)*1e9), Success, false)
			served++
			if len(s.queue) > 0 && len(s.busy) < s.workers {
				s.start(c.at, s.queue[0])
				s.queue = s.queue[1:]
			}
			continue
		}
		if l.TryAcquire() == nil {
			if len(s.busy) < s.workers {
				s.start(next, next)
			} else {
				s.queue = append(s.queue, next)
			}
		}
		next += random.ExpFloat64() / perSecond
	}
	return served
}

func simulation(l *Limiter) (s *server, run func(seconds, perSecond float64) int) {
	random := rand.New(rand.NewPCG(11, 12))
	s = &server{workers: 40}
	s.service = func() float64 { return 0.010 * (0.5 + random.Float64()) } // 4000 calls a second
	now := 0.0
	return s, func(seconds, perSecond float64) int {
		now += seconds
		return s.run(l, random, now-seconds, now, perSecond)
	}
}

func adaptive() *Limiter { return New(Config{Adaptive: true, AdaptiveMin: 4, AdaptiveMax: 1000}) }

func TestTheLimitFindsTheServersCapacity(t *testing.T) {
	l := adaptive()
	_, run := simulation(l)
	run(60, 2000) // half of what it can do: the long average learns its latency
	// Some 20 calls are under way at once, at times 40: a limit that is twice what is used does not grow.
	if got := l.Counts().Limit; got < 40 || got > 100 {
		t.Errorf("limit %d with 20 to 40 calls under way", got)
	}
	for minute := range 5 {
		served := run(60, 8000)
		limit := l.Counts().Limit
		t.Logf("minute %d of overload: limit %d, %d calls a second", minute+1, limit, served/60)
		if limit < 40 || limit > 240 {
			t.Errorf("limit %d for 40 workers", limit)
		}
		if served < 60*4000*95/100 {
			t.Errorf("%d calls a second of 4000", served/60)
		}
	}
}

func TestTheLimitFollowsAServerThatSlowsDownAndRecovers(t *testing.T) {
	l := adaptive()
	s, run := simulation(l)
	run(60, 3000)
	before := l.Counts().Limit
	fast := s.service
	s.service = func() float64 { return 10 * fast() }
	run(20, 3000)
	slow := l.Counts().Limit
	s.service = fast
	served := run(60, 3000)
	after := l.Counts().Limit
	t.Logf("limit %d, slowed down %d, recovered %d", before, slow, after)
	if slow > before/2 {
		t.Errorf("limit %d of %d while the server was ten times slower", slow, before)
	}
	if after < 30 || served < 60*3000*9/10 {
		t.Errorf("limit %d and %d calls a second after the server recovered, of 3000", after, served/60)
	}
}

func TestDropsLowerTheLimitToItsBound(t *testing.T) {
	l := adaptive()
	now := int64(0)
	previous := l.Counts().Limit
	for range 500 {
		now += int64(10 * time.Millisecond)
		l.TryAcquire()
		l.Release(now, 0, Dropped, false)
		if got := l.Counts().Limit; got > previous {
			t.Fatalf("the limit rose from %d to %d", previous, got)
		}
		previous = l.Counts().Limit
	}
	if previous != 4 {
		t.Errorf("limit %d, want the lower bound 4", previous)
	}
}

func TestALimitThatIsNotUsedStays(t *testing.T) {
	l := adaptive()
	now := int64(0)
	for i := range 5000 {
		now += int64(10 * time.Millisecond)
		l.TryAcquire()
		l.Release(now, time.Duration(1+i%7)*time.Millisecond, Success, false)
	}
	if got := l.Counts().Limit; got != initialLimit {
		t.Errorf("limit %d, want %d", got, initialLimit)
	}
}

func TestIgnoredCallsLeaveNoTrace(t *testing.T) {
	l := adaptive()
	now := int64(0)
	for range 5000 {
		now += int64(10 * time.Millisecond)
		l.TryAcquire()
		l.Release(now, time.Hour, Ignored, false)
	}
	if l.samples.sum.Load() != 0 || l.samples.mostRunning.Load() != 0 || l.gradient.updates != 0 {
		t.Error("ignored calls were taken in")
	}
}

func TestSamplesDoNotOverflow(t *testing.T) {
	var s samples
	for range mostSamples + 1000 {
		s.add(0, 1<<62, Success, 1)
	}
	sum := s.sum.Load()
	if calls, mean := sum&sampleMask, sum>>sampleBits/(sum&sampleMask); calls != mostSamples || mean != 16e6 {
		t.Errorf("%d calls of %d µs, want %d of 16 s", calls, mean, mostSamples)
	}
}
