package balancer

import (
	"slices"

	"google.golang.org/grpc/connectivity"
)

// group is the endpoints of one priority; with zone_aware, only those on one side: in the client's zone or elsewhere. It
// counts its connections, and keeps the targets among which a picker chooses.
type group struct {
	local   bool        // of zone_aware
	members []*endpoint // in the order of the list; never written to

	counts    [connectivity.Shutdown + 1]int // of those that have joined, by state
	ejected   int                            // of the READY ones
	panicking bool                           // calls go to ejected ones as well

	// targets are the endpoints that calls may go to, and gone are those of them that have left. Pickers share the array; it is
	// only ever appended to, so that bringing up n endpoints costs n steps, and replaced where one has left: by a copy
	// without gone, or, if it is stale, by another look at all endpoints.
	targets []target
	gone    []*endpoint // few
	stale   bool

	warmup

	hashing    *hashing    // nil without consistent_hash
	attendance *attendance // nil without weighted_round_robin
}

// join counts an endpoint in, by its state; it must have left the group that it was in.
func (g *group) join(e *endpoint) {
	e.group = g
	g.counts[e.state]++
	if !e.is(connectivity.Ready) {
		return
	}
	if e.ejected {
		g.ejected++
	}
	if !g.takes(e) || g.stale {
		return
	}
	if g.stale = slices.Contains(g.gone, e); !g.stale { // it is back before anybody has looked
		g.targets = append(g.targets, e.target())
	}
}

// leave takes it out again, before its state changes.
func (g *group) leave(e *endpoint) {
	e.group = nil
	g.counts[e.state]--
	if !e.is(connectivity.Ready) {
		return
	}
	if g.takes(e) && !g.stale {
		g.gone = append(g.gone, e)
		g.stale = len(g.gone) > fewGone
	}
	if e.ejected {
		g.ejected--
	}
}

// takes tells whether calls go to an endpoint of the group.
func (g *group) takes(e *endpoint) bool {
	return e.is(connectivity.Ready) && (!e.ejected || g.panicking)
}

// joined returns how many endpoints take part.
func (g *group) joined() (n int) {
	for _, c := range g.counts {
		n += c
	}
	return n
}

func (g *group) ready() int { return g.counts[connectivity.Ready] }

// takers returns to how many endpoints calls go.
func (g *group) takers() int {
	if g.panicking {
		return g.ready()
	}
	return g.ready() - g.ejected
}

// alarm makes the group panic, or ends that. It returns whether that changes who takes calls.
func (g *group) alarm(panicking bool) bool {
	if g.panicking == panicking {
		return false
	}
	g.panicking = panicking
	g.stale = g.stale || g.ejected > 0
	return g.ejected > 0
}

// fewGone is up to how many endpoints that have left are sought among all others.
const fewGone = 4

// eligible returns the endpoints that calls may go to.
func (g *group) eligible() []target {
	if !g.stale && len(g.gone) == 0 {
		return g.targets
	}
	before, gone, stale := g.targets, g.gone, g.stale
	g.gone, g.stale = nil, false
	n := g.takers()
	targets := make([]target, 0, n+n/16+1) // whoever left will often come back
	if stale {
		for _, e := range g.members {
			if e.group == g && g.takes(e) {
				targets = append(targets, e.target())
			}
		}
	} else {
		targets = without(gone, before, targets)
	}
	g.targets = targets
	return targets
}

// without appends those of the targets to out that are not gone, in runs.
func without(gone []*endpoint, targets, out []target) []target {
	from := 0
	for i := range targets {
		if slices.Contains(gone, targets[i].e) {
			out = append(out, targets[from:i]...)
			from = i + 1
		}
	}
	return append(out, targets[from:]...)
}

// populated tells whether any endpoint takes part in the band's groups.
func (b *band) populated() bool {
	for _, g := range b.groups {
		if g.counts != [connectivity.Shutdown + 1]int{} {
			return true
		}
	}
	return false
}

// standing is that of the band, for failover.
func (b *band) standing() (s standing) {
	for _, g := range b.groups {
		s.members += len(g.members)
		s.eligible += g.ready() - g.ejected
		s.takers += g.takers()
		s.pending += len(g.members) - g.ready() - g.counts[connectivity.TransientFailure]
	}
	return s
}

// tiers appends those of the band, which has a share of the calls.
func (b *band) tiers(out []tier, share, minHealthyRatio float64) []tier {
	if len(b.groups) == 1 {
		return b.groups[0].tier(out, share)
	}
	stays := b.localShare(minHealthyRatio)
	return b.groups[1].tier(b.groups[0].tier(out, share*stays), share*(1-stays))
}

// localShare returns which part of the band's calls stays in the client's zone, of a band with one group all.
func (b *band) localShare(minHealthyRatio float64) float64 {
	if len(b.groups) == 1 {
		return 1
	}
	local, others := b.groups[0], b.groups[1]
	return localShare(local.takers(), len(local.members), others.takers(), minHealthyRatio)
}

// tier appends that of the group, if anything goes to it.
func (g *group) tier(out []tier, share float64) []tier {
	if share < rounding || g.takers() == 0 {
		return out
	}
	return append(out, tier{targets: g.eligible(), share: share, group: g})
}
