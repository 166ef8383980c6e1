package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"

	"github.com/goresilient/goresilient/runtime/policy"
)

// newPicker returns the picker of the policy over the tiers, of which there is at least one. It may keep the slices and must
// not write to them. partial is whether any endpoint has less than the full share.
func (p *pool) newPicker(tiers []tier, partial bool) balancer.Picker {
	p.ch.judge.Store(p.cfg.judge())
	p.weighing.begin(p)
	p.forgetHashing()
	out := &picker{
		ch:       p.ch,
		tiers:    tiers,
		level:    p.cfg.level(),
		recorded: p.cfg.recorded(),
		partial:  partial && !p.cfg.compares(),
	}
	if len(tiers) == 1 {
		out.rule = p.newRule(tiers[0], partial)
	} else {
		rules := make([]rule, len(tiers))
		for i := range tiers {
			rules[i] = p.newRule(tiers[i], partial)
		}
		all := newTiered(tiers, rules, p.ch.opts.Rand)
		if out.rule = all; p.cfg.arm() == armConsistentHash {
			out.rule = &keyed{all}
		}
	}
	if rr, ok := out.rule.(*roundRobin); ok && out.level == nothing && !out.recorded && !partial {
		return &turns{roundRobin: *rr, picker: out}
	}
	if w, ok := out.rule.(*weightedRoundRobin); ok && out.level == nothing && !out.recorded && !partial {
		return newWeightedTurns(w, out)
	}
	return out
}

// newRule returns the rule of the policy for one tier.
func (p *pool) newRule(t tier, partial bool) rule {
	targets := t.targets
	switch p.cfg.arm() {
	case armLeastRequest:
		return &leastRequest{p.newLot(targets, p.cfg.choices(), partial)}
	case armPeakEwma:
		return &peakEwma{p.newLot(targets, peakChoices, partial), p.cfg.smoothing()}
	case armAdaptive:
		return newAdaptive(p.newLot(targets, adaptiveChoices, partial))
	case armWeightedRoundRobin:
		return p.newWeighted(t)
	case armConsistentHash:
		return p.newConsistentHash(t)
	default:
		return newRoundRobin(targets, p.ch.turn)
	}
}

// compares returns whether the policy compares a few targets, or follows a key. Such a rule sees to the shares of endpoints
// itself: what it would choose again is often the same.
func (c Config) compares() bool {
	switch c.arm() {
	case armLeastRequest, armPeakEwma, armAdaptive, armConsistentHash:
		return true
	}
	return false
}

func (p *pool) newLot(targets []target, size int, partial bool) lot {
	l := lot{targets: targets, size: size, random: p.ch.opts.Rand, partial: partial, each: drawsOf(len(targets))}
	if p.ch.uneven {
		weights := make([]uint32, len(targets))
		for i := range targets {
			weights[i] = targets[i].e.weight
		}
		l.weights = newAlias(weights)
	}
	return l
}

// samePicker tells whether a and b ask for equal pickers.
func samePicker(a, b Config) bool {
	if a.arm() != b.arm() || a.level() != b.level() || *a.judge() != *b.judge() {
		return false
	}
	switch a.arm() {
	case armLeastRequest:
		return a.choices() == b.choices()
	case armWeightedRoundRobin:
		return a.weighted() == b.weighted()
	case armConsistentHash:
		return a.hashed() == b.hashed()
	}
	return true
}

// smoothing returns how the average latency of an endpoint is kept. Policies that do not choose by it keep it as adaptive does,
// for the status.
func (c Config) smoothing() smoothing {
	if c.arm() == armPeakEwma {
		return peakSmoothing(c.decay())
	}
	return adaptiveSmoothing()
}

// level returns what the pickers of c measure.
func (c Config) level() level {
	switch {
	case c.detects() && policy.Value(c.OutlierDetection.LatencyFactor) > 0:
		return timed
	case c.arm() == armPeakEwma || c.arm() == armAdaptive:
		return sampled
	case c.detects() || c.arm() == armLeastRequest || c.arm() == armConsistentHash:
		return counted
	}
	return nothing
}

// counts returns whether pickers of c count calls that they do not time, and need no completion for it.
func (c Config) counts() bool {
	return (c.level() == counted || c.level() == sampled) && c.arm() != armConsistentHash
}

// recorded returns whether a call's end cannot be judged without its context, or counts elsewhere than at its endpoint.
func (c Config) recorded() bool {
	return c.judge().failures.has(codes.Canceled) || c.arm() == armConsistentHash
}
