package balancer

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// weightedRoundRobin chooses targets in turn, those with more weight more often: by the load that they report (gRFC
// A58), and by static weight as long as they do not.
type weightedRoundRobin struct {
	targets []target
	size    divisor
	turn    *stripe.Sequence
	// schedule is replaced as the weights change; nil: all are equal, and each gets its turn.
	schedule atomic.Pointer[schedule]

	weights []float64 // that schedule was made of; nil while it is nil. Channel.mu guards it.
}

func (w *weightedRoundRobin) choose(int64, context.Context, *attempt.Record) *target {
	return &w.targets[w.next()]
}

func (w *weightedRoundRobin) next() int {
	turn := w.turn.Next()
	if s := w.schedule.Load(); s != nil {
		return s.at(turn)
	}
	return int(w.size.mod(turn))
}

// schedule divides the circle of the 64-bit numbers among the targets: each has a range of its own, as wide as its weight is
// great. A turn goes on by one step from where the last one was, a step a little wider than the widest range: on its way round
// the circle it meets each target once at most, with the probability of its weight in the greatest one, as it does with
// grpc's scheduler (A58, static stride). The steps of a way round, of which there are K and a fraction, fall short of a full
// one by the golden section of a step, so that the ways are shifted against each other as evenly as can be (the three-gap
// theorem; Sós, 1958): of any thousand turns that follow each other a target gets its share to within four, where drawing by
// chance would be off by the root of it.
//
// A pick takes the same time with any weights, which grpc's scheduler does not: it passes over targets of little weight one by
// one. And as turns go through the targets in order, what a pick needs is in the cache before it is needed.
type schedule struct {
	guide        // the last number of each range
	step  uint64 // from one turn to the next
}

// newSchedule returns the schedule of weights above 0, nil if they are all equal.
func newSchedule(weights []float64) *schedule {
	var total, most float64
	even := true
	for _, w := range weights {
		total += w
		most = max(most, w)
		even = even && w == weights[0]
	}
	if even {
		return nil
	}
	ends := make([]uint64, len(weights))
	var sum float64
	for i, w := range weights {
		sum += w
		if ends[i] = math.MaxUint64; sum < total {
			ends[i] = uint64(sum / total * (1 << 64))
		}
	}
	ends[len(ends)-1] = math.MaxUint64
	return &schedule{newGuide(ends, scheduleDensity), stepOf(total / most)}
}

// section is what is left of 1 by the golden section.
const section = 0.6180339887498949

// stepOf returns the step where the widest range is one in so many of the circle, not above 2^64 golden sections: where one
// target has most of the weight, it has its turn more than once on a way round.
func stepOf(widest float64) uint64 {
	turns := max(math.Floor(widest-section), 1) // on a way round
	return uint64(1 / (turns + section) * (1 << 64))
}

// at returns whose turn it is.
func (s *schedule) at(turn uint32) int { return s.find(uint64(turn) * s.step) }

// weightedSettings are those of weighted_round_robin.
type weightedSettings struct {
	expiration, blackout, period, outOfBand time.Duration
	penalty                                 float64
}

// weighted returns the settings, those that are not set as the policy has them by default.
func (c Config) weighted() weightedSettings {
	s := weightedSettings{expiration: 3 * time.Minute, blackout: 10 * time.Second, period: time.Second, penalty: 1}
	w := c.LoadBalancing.WeightedRoundRobin
	for _, f := range []struct{ to, from *time.Duration }{
		{&s.expiration, w.WeightExpiration}, {&s.blackout, w.Blackout}, {&s.period, w.UpdatePeriod},
		{&s.outOfBand, w.OutOfBandPeriod},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if w.ErrorPenalty != nil {
		s.penalty = *w.ErrorPenalty
	}
	return s
}

// check reports settings that cannot be carried out.
func (s weightedSettings) check(problem func(path, format string, args ...any)) {
	const at = "load_balancing.weighted_round_robin."
	if s.expiration <= 0 {
		problem(at+"weight_expiration", `%v is out of range; write a duration above 0, such as "3m"`, s.expiration)
	}
	if s.blackout < 0 {
		problem(at+"blackout", `%v is out of range; write a duration, such as "10s", or "0s"`, s.blackout)
	}
	if s.period < minUpdatePeriod {
		problem(at+"update_period", `%v is out of range; write a duration of %v at least`, s.period, minUpdatePeriod)
	}
	if s.outOfBand < 0 {
		problem(at+"out_of_band_period", `%v is out of range; write a duration, such as "10s", or "0s"`, s.outOfBand)
	}
	if !(s.penalty >= 0 && s.penalty <= 1000) {
		problem(at+"error_penalty", "%v is out of range; write 0 to 1000", s.penalty)
	}
}

const minUpdatePeriod = 100 * time.Millisecond

// weighing looks at the reported weights once in a period. Channel.mu guards it.
type weighing struct {
	settings weightedSettings
	rules    []*weightedRoundRobin // of the last picker
	timer    wakeup
	used     bool // at the last look, a reported weight counted
}

// newWeighted returns the rule for a tier.
func (p *pool) newWeighted(t tier) *weightedRoundRobin {
	if t.group.attendance == nil {
		t.group.attendance = new(attendance)
	}
	t.group.attendance.follow(p, t.targets, p.weighing.settings)
	w := &weightedRoundRobin{targets: t.targets, size: newDivisor(len(t.targets)), turn: p.ch.turn}
	if p.weighing.used || p.ch.uneven {
		p.weighing.look(w, p.ch.opts.Now())
	}
	p.weighing.rules = append(p.weighing.rules, w)
	return w
}

// begin forgets the rules of the last picker, before those of the next are made; without weighted_round_robin there
// will be none.
func (w *weighing) begin(p *pool) {
	if w.rules = nil; p.cfg.arm() == armWeightedRoundRobin {
		if s := p.cfg.weighted(); s != w.settings {
			w.settings = s
			w.timer.stop()
			p.ch.deafen()
		}
		if !w.timer.isSet() {
			w.set(p.ch)
		}
		return
	}
	if w.timer.isSet() {
		w.used = false
		w.timer.stop()
		p.ch.deafen()
	}
}

func (w *weighing) set(ch *Channel) {
	w.timer.set(ch, w.settings.period, func() { w.tick(ch) })
}

// tick looks at all weights and goes on.
func (w *weighing) tick(ch *Channel) {
	w.used = false // until a look finds otherwise
	now := ch.opts.Now()
	for _, r := range w.rules {
		w.look(r, now)
	}
	w.set(ch)
}

// look makes the rule's schedule that of the weights as they are.
//
// Fewer than two reports compare nothing: then the static weights count, as A58 has round_robin. Otherwise a target
// without a report has the mean weight of those with one, in proportion to its static weight.
func (w *weighing) look(r *weightedRoundRobin, now int64) {
	weights := make([]float64, len(r.targets))
	var reported, static float64
	reports := 0
	for i := range r.targets {
		e := r.targets[i].e
		if weights[i] = e.reports.Load().weight(now, &w.settings); weights[i] > 0 {
			reported += weights[i]
			static += float64(e.weight)
			reports++
		}
	}
	w.used = w.used || reports > 0
	each := 1.0
	if reports >= 2 {
		each = reported / static
	}
	for i := range weights {
		if reports < 2 || weights[i] == 0 {
			weights[i] = each * float64(r.targets[i].e.weight)
		}
	}
	if !slices.Equal(weights, r.weights) {
		r.weights = weights
		r.schedule.Store(newSchedule(weights))
	}
}

// weightedTurns is a picker of weighted_round_robin that measures nothing, with the shortest way to a target and its
// reports. An attempt with a record takes the usual way.
type weightedTurns struct {
	*weightedRoundRobin
	picker *picker
	dones  []func(balancer.DoneInfo) // of the targets; nil if reports come out of band
}

// newWeightedTurns returns the picker whose usual way p is.
func newWeightedTurns(w *weightedRoundRobin, p *picker) *weightedTurns {
	out := &weightedTurns{weightedRoundRobin: w, picker: p}
	if p.ch.judge.Load().reports {
		out.dones = p.tiers[0].group.attendance.dones
	}
	return out
}

// Pick implements [balancer.Picker].
func (w *weightedTurns) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if w.picker.ch.records.Load() {
		return w.picker.Pick(info)
	}
	i := w.next()
	r := balancer.PickResult{SubConn: w.targets[i].sc}
	if w.dones != nil {
		r.Done = w.dones[i]
	}
	return r, nil
}
