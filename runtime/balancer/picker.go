package balancer

import (
	"context"

	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// target is an endpoint in a picker. It has what most picks need, so that they touch neither e nor what is near it.
type target struct {
	sc   balancer.SubConn
	load *load
	done func(balancer.DoneInfo)
	e    *endpoint
}

// tier is a set of endpoints that take a share of the calls together.
type tier struct {
	targets []target // one at least
	share   float64  // of the calls; those of all tiers come to 1
	group   *group   // whose targets they are
}

// rule is what differs between the policies that pick from the pool: it chooses, and keeps no books. Several goroutines
// choose at a time.
type rule interface {
	// choose returns one of the rule's targets. now is [Options.Now] if the picker measures time, 0 otherwise; ctx is the
	// call's; rec is nil if the attempt has no record.
	choose(now int64, ctx context.Context, rec *attempt.Record) *target
}

// level is what a picker measures, fixed when it is made.
type level uint8

const (
	nothing level = iota
	counted       // the calls in flight, and how they end
	sampled       // how long calls take as well, of one a millisecond at each endpoint
	timed         // how long each call takes
)

const (
	// draws is how often a rule is asked for an endpoint that the call has not tried, or that takes its share.
	draws = 4
)

// picker has its rule choose, and does what every policy needs: it keeps away from the endpoints that the call has tried,
// lets endpoints with a small share have no more than that, tells the attempt where it goes, and measures.
//
// It is immutable.
type picker struct {
	ch    *Channel
	rule  rule
	tiers []tier // of the rule, for attempts that must go elsewhere
	level level
	// recorded has each call measured by a [completion], of which no more is known than of others at lower levels.
	recorded bool
	// partial is whether the rule's choice stands with the probability of the endpoint's share alone.
	partial bool
}

// Pick implements [balancer.Picker].
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	var rec *attempt.Record
	if p.ch.records.Load() {
		if rec = attempt.From(info.Ctx, p.ch.only); rec != nil {
			if err := rec.Begin(); err != nil {
				return balancer.PickResult{}, err
			}
		}
	}
	var now int64
	if p.level >= sampled {
		now = p.ch.opts.Now()
	}
	t := p.rule.choose(now, info.Ctx, rec)
	if p.partial {
		t = p.sharing(t, now, info.Ctx, rec)
	}
	if rec != nil {
		t = p.elsewhere(t, now, info.Ctx, rec)
		rec.Picked(t.e)
	}
	timed := (rec == nil || rec.Stream == nil) && (p.level == timed || p.level == sampled && t.load.due(now))
	switch {
	case timed || rec != nil || p.recorded || t.done == nil && p.level != nothing:
		return balancer.PickResult{SubConn: t.sc, Done: p.ch.completion(t, now, timed, info.Ctx, rec)}, nil
	case p.level == nothing:
		return balancer.PickResult{SubConn: t.sc}, nil
	}
	t.load.untimed.Add(1)
	return balancer.PickResult{SubConn: t.sc, Done: t.done}, nil
}

// sharing has the rule choose again where t has had its share. It stops at some point: a small share is better than none.
func (p *picker) sharing(t *target, now int64, ctx context.Context, rec *attempt.Record) *target {
	for range draws {
		if t.takes(p.ch.opts.Rand) {
			break
		}
		t = p.rule.choose(now, ctx, rec)
	}
	return t
}

// takes draws whether a call goes to the target, by its share.
func (t *target) takes(random func() uint64) bool {
	share := t.load.share.Load()
	return share == fullShare || uint32(random()>>32) < share
}

// elsewhere returns a target that the call has not tried: t, another one of the rule's, or any, if there is one at all.
func (p *picker) elsewhere(t *target, now int64, ctx context.Context, rec *attempt.Record) *target {
	if !rec.HasTried() || !rec.Tried(t.e) {
		return t
	}
	for range draws {
		if u := p.rule.choose(now, ctx, rec); !rec.Tried(u.e) {
			return u
		}
	}
	for i := range p.tiers {
		targets := p.tiers[i].targets
		at := scale(uint32(p.ch.opts.Rand()>>32), len(targets))
		for range targets {
			if u := &targets[at]; !rec.Tried(u.e) {
				return u
			}
			if at++; at == len(targets) {
				at = 0
			}
		}
	}
	return t
}

// tiered has each tier's rule choose for its share of the calls.
type tiered struct {
	until  []uint64 // of 2^64, the end of each tier's part but the last
	rules  []rule
	random func() uint64
}

func newTiered(tiers []tier, rules []rule, random func() uint64) *tiered {
	t := &tiered{until: make([]uint64, len(tiers)-1), rules: rules, random: random}
	var sum float64
	for i := range t.until {
		sum += tiers[i].share
		t.until[i] = uint64(min(max(0, sum), 1) * (1 << 63)) // 2^64 itself has no representation
	}
	return t
}

func (t *tiered) choose(now int64, ctx context.Context, rec *attempt.Record) *target {
	r := t.random() >> 1
	for i, until := range t.until {
		if r < until {
			return t.rules[i].choose(now, ctx, rec)
		}
	}
	return t.rules[len(t.until)].choose(now, ctx, rec)
}

// waiting has calls wait for the next picker.
type waiting struct{}

// Pick implements [balancer.Picker].
func (waiting) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
}

// failing fails the calls that do not wait for READY.
type failing struct{ err error }

// Pick implements [balancer.Picker].
func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, f.err
}
