package latency

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/budget"
)

// world is a simulation of a method that is hedged at a quantile of its own latency.
type world struct {
	random   *rand.Rand
	now      int64
	agenda   agenda
	median   time.Duration // of an attempt's latency
	slow     float64       // share of attempts that take ten times as long
	latency  *Histogram
	delay    *Cached
	cap      *budget.Budget
	giveUp   func(*Histogram, time.Duration) // what is recorded of a loser
	firsts   int
	extras   int
	hedgedAt []int64
}

// agenda is what is going to happen, soonest first.
type agenda []event

type event struct {
	at int64
	do func()
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

const spread = 1.8 // of a latency: the 84th percentile to the median

func newWorld(q float64, c budget.Config) *world {
	w := &world{
		random: rand.New(rand.NewPCG(5, 6)), now: second, median: 10 * time.Millisecond,
		latency: new(Histogram), cap: budget.New(c), giveUp: (*Histogram).RecordAtLeast,
	}
	w.delay = NewCached(w.latency, q)
	return w
}

func (w *world) after(d time.Duration, do func()) {
	heap.Push(&w.agenda, event{w.now + int64(d), do})
}

// run lets 1000 calls a second begin for the time d.
func (w *world) run(d time.Duration) {
	for end := w.now + int64(d); w.now < end; {
		w.call()
		next := w.now + int64(time.Millisecond)
		for len(w.agenda) > 0 && w.agenda[0].at <= next {
			e := heap.Pop(&w.agenda).(event)
			w.now = e.at
			e.do()
		}
		w.now = next
	}
}

// draw returns the latency of an attempt.
func (w *world) draw() time.Duration {
	median := w.median
	if w.random.Float64() < w.slow {
		median *= 10
	}
	return logNormal(w.random, median, spread)
}

// call makes one attempt, and another one after the delay if that is known, and allowed; the first answer wins.
func (w *world) call() {
	w.firsts++
	w.cap.Deposit(w.now, 1)
	begun, done := []int64{w.now}, false
	answer := func(attempt int) func() {
		return func() {
			if done {
				return
			}
			done = true
			for i, at := range begun {
				if i == attempt {
					w.latency.Record(time.Duration(w.now - at))
				} else {
					w.giveUp(w.latency, time.Duration(w.now-at))
				}
			}
		}
	}
	w.after(w.draw(), answer(0))
	if delay, ok := w.delay.Delay(w.now); ok {
		w.after(delay, func() {
			if done || !w.cap.Withdraw(w.now) {
				return
			}
			w.extras++
			w.hedgedAt = append(w.hedgedAt, w.now)
			begun = append(begun, w.now)
			w.after(w.draw(), answer(1))
		})
	}
}

// off is by how much the delay is off the quantile q of what attempts would take if all were waited for, as a share.
func (w *world) off(q float64) float64 {
	all := make([]time.Duration, 100_000)
	for i := range all {
		all[i] = w.draw()
	}
	slices.Sort(all)
	d, _ := w.delay.Delay(w.now)
	return float64(d)/float64(all[int(q*float64(len(all)))]) - 1
}

// burst returns the most hedges within 10 s.
func (w *world) burst() int {
	most, from := 0, 0
	for i, at := range w.hedgedAt {
		for w.hedgedAt[from] <= at-10*second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// hedges is the cap of hedges that a client has by default.
var hedges = budget.Config{Ratio: 0.05, Window: 10 * time.Second}

// Latency doubles everywhere at once. Hedges stay below their cap, over the whole time and over any 10 s, and soon
// begin at the new quantile.
func TestLatencyDoublingStartsNoStorm(t *testing.T) {
	w := newWorld(0.95, hedges)
	w.run(time.Minute)
	if off := w.off(0.95); math.Abs(off) > 0.1 {
		t.Fatalf("the delay is off by %.1f %% at rest", 100*off)
	}
	w.median *= 2
	w.run(5 * time.Second)
	if off := w.off(0.95); math.Abs(off) > 0.1 {
		t.Errorf("the delay is off by %.1f %% 5 s after the doubling", 100*off)
	}
	w.run(time.Minute)
	if off := w.off(0.95); math.Abs(off) > 0.1 {
		t.Errorf("the delay is off by %.1f %% in the end", 100*off)
	}
	share, burst := float64(w.extras)/float64(w.firsts), w.burst()
	if share > 0.05 || burst > 500 {
		t.Errorf("hedges are %.2f %% of calls, and %d of 10000 in the worst 10 s", 100*share, burst)
	}
	t.Logf("hedges are %.2f %% of calls, and %d of 10000 in the worst 10 s", 100*share, burst)
}

// What holds a storm off is not the cap alone: the quantile stays where it is although losers are cut short. Without
// their times it sinks, and hedges become more.
func TestQuantileOfHedgedCalls(t *testing.T) {
	tests := []struct {
		name     string
		giveUp   func(*Histogram, time.Duration)
		min, max float64 // off the true quantile
	}{
		{"given-up attempts count as longer", (*Histogram).RecordAtLeast, -0.1, 0.1},
		{"given-up attempts are left out", func(*Histogram, time.Duration) {}, -1, -0.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(0.95, budget.Config{Ratio: 1, MinPerSecond: 1000, Window: 10 * time.Second})
			w.giveUp, w.slow = tt.giveUp, 0.08
			w.run(2 * time.Minute)
			off := w.off(0.95)
			t.Logf("off by %.1f %%; hedges are %.1f %% of calls", 100*off, 100*float64(w.extras)/float64(w.firsts))
			if off < tt.min || off > tt.max {
				t.Errorf("off by %.1f %%, want %v to %v %%", 100*off, 100*tt.min, 100*tt.max)
			}
		})
	}
}
