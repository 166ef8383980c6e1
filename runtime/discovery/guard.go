package discovery

import "time"

// GuardConfig is how far a [Guard] believes a source that takes endpoints away.
type GuardConfig struct {
	// EmptyGrace is how long an empty list must last before it is honoured, and over how long a great loss is spread.
	// 0 turns the guard off.
	EmptyGrace time.Duration
	// MaxRemovedRatio is the share of the endpoints that may leave at once, in [0, 1]: at 1 only an empty list is held
	// back. What left within the last EmptyGrace counts as leaving at once, so that a registry whose entries expire one
	// after another is held back as well.
	MaxRemovedRatio float64
}

// Guard decides how long endpoints that a source has removed are still shown: a registry that was emptied by mistake must
// not black out its callers (static stability). It is a state machine over identities, without a clock of its own, and is
// for one goroutine at a time.
//
//   - What is added is shown at once, and so is all of the first list.
//   - Up to MaxRemovedRatio of the endpoints leave at once. A greater loss leaves one by one, evenly over EmptyGrace, the
//     last at its end.
//   - An empty list is held back as a whole until it has lasted for EmptyGrace. Then everything leaves.
//   - While the source has lost its backend nothing leaves, and none of these times goes on.
//   - What comes back was never gone.
type Guard struct {
	config GuardConfig

	shown []*guarded // in the order in which they came
	byID  map[string]*guarded
	left  []departure // within the last EmptyGrace
	gone  int         // sum of left

	empty  time.Time // since when the list is empty; zero if it is not
	frozen time.Time // since when the times of departure stand still; zero if they do not
}

// guarded is an endpoint that is shown.
type guarded struct {
	id     string
	listed bool
	leaves time.Time // zero unless its departure is settled
}

// departure is a number of endpoints that left at a time.
type departure struct {
	at    time.Time
	count int
}

// NewGuard returns a guard that has seen nothing yet.
func NewGuard(c GuardConfig) *Guard {
	return &Guard{config: c, byID: make(map[string]*guarded)}
}

// Configure replaces the configuration. Departures that are settled keep their times, unless the guard is turned off.
func (g *Guard) Configure(c GuardConfig) { g.config = c }

// Observe takes over the identities that the source lists now; doublets count once. stale says that the source has lost
// its backend, so that the list may be out of date.
//
// keep are those that are not in ids and have to be shown still, in the order in which they came. next is when to call
// Observe again with what the source lists then, if it does not speak before; zero if there is no need to. Calling it
// earlier, or more often, does no harm.
func (g *Guard) Observe(now time.Time, ids []string, stale bool) (keep []string, next time.Time) {
	if g.config.EmptyGrace <= 0 {
		g.accept(now, ids)
		return nil, time.Time{}
	}
	g.expire(now)
	before := len(g.shown)
	g.list(ids)
	switch {
	case stale:
		g.empty = time.Time{}
		g.freeze(now)
	case len(ids) == 0 && before > 0:
		if g.empty.IsZero() {
			g.empty = now
		}
		if end := g.empty.Add(g.config.EmptyGrace); now.Before(end) {
			g.freeze(now)
			next = end
			break
		}
		g.thaw(now)
		g.remove(now, func(*guarded) bool { return true })
	default:
		g.empty = time.Time{}
		g.thaw(now)
		g.settle(now, before)
		g.remove(now, func(e *guarded) bool { return !e.leaves.IsZero() && !e.leaves.After(now) })
	}
	for _, e := range g.shown {
		if e.listed {
			continue
		}
		keep = append(keep, e.id)
		if g.frozen.IsZero() && (next.IsZero() || e.leaves.Before(next)) {
			next = e.leaves
		}
	}
	return keep, next
}

// list notes which of the shown are listed, and shows those that are new.
func (g *Guard) list(ids []string) {
	for _, e := range g.shown {
		e.listed = false
	}
	for _, id := range ids {
		e := g.byID[id]
		if e == nil {
			e = &guarded{id: id}
			g.byID[id] = e
			g.shown = append(g.shown, e)
		}
		e.listed, e.leaves = true, time.Time{}
	}
}

// settle gives those that are missing a time to leave. before is the number that was shown before this list.
func (g *Guard) settle(now time.Time, before int) {
	var missing []*guarded
	leaving := 0
	for _, e := range g.shown {
		switch {
		case e.listed:
		case e.leaves.IsZero():
			missing = append(missing, e)
		default:
			leaving++
		}
	}
	lost := float64(g.gone + leaving + len(missing))
	if lost <= g.config.MaxRemovedRatio*float64(g.gone+before) {
		for _, e := range missing {
			e.leaves = now
		}
		return
	}
	for i, e := range missing {
		share := float64(i+1) / float64(len(missing))
		e.leaves = now.Add(time.Duration(share * float64(g.config.EmptyGrace)))
	}
}

// remove stops showing those that are not listed and that leave.
func (g *Guard) remove(now time.Time, leaves func(*guarded) bool) {
	kept := g.shown[:0]
	for _, e := range g.shown {
		if e.listed || !leaves(e) {
			kept = append(kept, e)
			continue
		}
		delete(g.byID, e.id)
	}
	count := len(g.shown) - len(kept)
	clear(g.shown[len(kept):])
	g.shown = kept
	if count > 0 {
		g.left = append(g.left, departure{now, count})
		g.gone += count
	}
}

// expire forgets the departures that are further back than EmptyGrace.
func (g *Guard) expire(now time.Time) {
	n := 0
	for n < len(g.left) && !g.left[n].at.After(now.Add(-g.config.EmptyGrace)) {
		g.gone -= g.left[n].count
		n++
	}
	g.left = g.left[n:]
}

// freeze stops the times of departure; thaw lets them go on where they stood.
func (g *Guard) freeze(now time.Time) {
	if g.frozen.IsZero() {
		g.frozen = now
	}
}

func (g *Guard) thaw(now time.Time) {
	if g.frozen.IsZero() {
		return
	}
	stood := now.Sub(g.frozen)
	g.frozen = time.Time{}
	for _, e := range g.shown {
		if !e.leaves.IsZero() {
			e.leaves = e.leaves.Add(stood)
		}
	}
}

// accept shows ids and nothing else.
func (g *Guard) accept(now time.Time, ids []string) {
	g.empty, g.frozen, g.left, g.gone = time.Time{}, time.Time{}, nil, 0
	g.list(ids)
	g.remove(now, func(*guarded) bool { return true })
	g.left, g.gone = nil, 0
}
