package balancer

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/policy"
)

// consistentHash chooses the endpoint that a call's key belongs to, as long as that one has room: no more calls in
// flight than loadFactor times its share of all those that this client has (Mirrokni, Thorup and Zadimoghaddam,
// "Consistent hashing with bounded loads", 2018, arXiv:1608.01350). A call that finds no room goes on clockwise, as
// does one whose endpoint is not READY, is ejected, or was tried by the call before. All members of the tier have
// their places, those that take no calls as well: an endpoint that comes back has its keys again.
//
// The key is the one that the attempt's record has; without one, that of [WithHashKey]; without that, the first value of a
// metadata header; without that, a random one, so that calls without a key are spread by weight.
//
// An endpoint with a small share (slow start, probation) takes that share of its keys, always the same ones; as the
// share grows others follow.
type consistentHash struct {
	*ring
	targets []target
	total   *tally
	factor  float64 // how many calls an endpoint of weight 1 may have for each call in flight
	header  string
	random  func() uint64
}

type hashKey struct{}

// WithHashKey returns ctx with the key by which consistent_hash chooses the endpoint of a call: for programs that use the
// policy without a generated client. It wins over the header of the policy. A generated client has its keys from the schema
// and from goresilient.HashKey, which win over this one.
func WithHashKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, hashKey{}, xxhash.Sum64String(key))
}

func (c *consistentHash) choose(_ int64, ctx context.Context, rec *attempt.Record) *target {
	return c.of(c.key(ctx, rec), rec)
}

// of returns the target of a key.
func (c *consistentHash) of(key uint64, rec *attempt.Record) *target {
	owner := c.owner(key)
	tried := rec != nil && rec.HasTried()
	// An idle endpoint has room whatever the others have.
	if t := c.slots[owner].Load(); t != nil && !tried && t.load.inFlight() == 0 && t.load.share.Load() == fullShare {
		return t
	}
	return c.clockwise(owner, key, tried, rec)
}

// key returns the hash of the call's key.
func (c *consistentHash) key(ctx context.Context, rec *attempt.Record) uint64 {
	if rec != nil {
		if key, ok := rec.Key(); ok {
			return key
		}
	}
	if ctx == nil {
		return c.random()
	}
	if key, ok := ctx.Value(hashKey{}).(uint64); ok {
		return key
	}
	if c.header != "" {
		if md, ok := metadata.FromOutgoingContext(ctx); ok {
			if values := md[c.header]; len(values) > 0 {
				return xxhash.Sum64String(values[0])
			}
		}
	}
	return c.random()
}

// clockwise returns the first target from a place on that takes the call. If there is none, room and share do not
// count; if all were tried, that does not either.
func (c *consistentHash) clockwise(i int, key uint64, tried bool, rec *attempt.Record) *target {
	room := c.factor * float64(c.total.sum()+1)
	var any, untried *target
	for range c.members {
		if t := c.slots[i].Load(); t != nil {
			if any == nil {
				any = t
			}
			if !tried || !rec.Tried(t.e) {
				if untried == nil {
					untried = t
				}
				if c.takes(t, i, key) && float64(t.load.inFlight()) < room*c.weight(i) {
					return t
				}
			}
		}
		if i++; i == len(c.members) {
			i = 0
		}
	}
	switch {
	case untried != nil:
		return untried
	case any != nil:
		return any
	}
	return &c.targets[0] // the slots are those of a later picker already
}

// takes returns whether the share of the target, which stands at i, covers the key.
func (c *consistentHash) takes(t *target, i int, key uint64) bool {
	share := t.load.share.Load()
	return share == fullShare || uint32(scatter(key^c.ascending[i])) < share
}

// hashing is what consistent_hash keeps of a group between two pickers. Channel.mu guards it.
type hashing struct {
	ring      *ring
	members   []*endpoint // as listed, when the ring was made
	weighting uint32      // of the channel, likewise
	targets   []target    // in the slots
	weight    float64     // of the targets
}

// follow brings the ring up to date. What it costs is in proportion to what has come, if nothing has gone.
func (h *hashing) follow(members []*endpoint, targets []target, uneven bool, weighting uint32) {
	known := len(h.targets)
	grown := known > 0 && len(targets) >= known && &targets[0] == &h.targets[0]
	if !h.remake(members, uneven, weighting, grown) || !grown {
		h.ring.fill(targets)
		known, h.weight = len(targets), float64(len(targets))
		if uneven {
			known, h.weight = 0, 0
		}
	}
	for i := known; i < len(targets); i++ {
		if at := h.ring.place(targets[i].e); at >= 0 {
			h.ring.slots[at].Store(&targets[i])
			h.weight += h.ring.weight(at)
		}
	}
	h.targets = targets
}

// remake makes the ring that of the members, and has it keep its slots if it can. It returns whether they are kept.
func (h *hashing) remake(members []*endpoint, uneven bool, weighting uint32, keep bool) bool {
	before := h.members
	h.members = members
	if h.ring != nil && h.weighting == weighting && uneven == (h.ring.weights != nil) {
		if len(before) == len(members) && &before[0] == &members[0] {
			return true
		}
		if gone, come, few := difference(before, members); few {
			if len(gone)+len(come) == 0 {
				return true
			}
			if r := h.ring.changed(gone, come, keep); r != nil {
				h.ring = r
				return keep
			}
		}
	}
	h.ring, h.weighting = newRing(members, uneven), weighting
	return false
}

// newConsistentHash returns the rule for a tier.
func (p *pool) newConsistentHash(t tier) *consistentHash {
	g := t.group
	if g.hashing == nil {
		g.hashing = new(hashing)
	}
	g.hashing.follow(g.members, t.targets, p.ch.uneven, p.ch.weighting)
	total := p.ch.total.Load()
	if total == nil {
		total = new(tally)
		p.ch.total.Store(total)
	}
	s := p.cfg.hashed()
	return &consistentHash{
		ring:    g.hashing.ring,
		targets: t.targets,
		total:   total,
		factor:  s.loadFactor * t.share / max(1, g.hashing.weight),
		header:  s.header,
		random:  p.ch.opts.Rand,
	}
}

// forgetHashing drops what no other policy has use for.
func (p *pool) forgetHashing() {
	if p.ch.total.Load() == nil || p.cfg.arm() == armConsistentHash {
		return
	}
	p.ch.total.Store(nil)
	for g := range p.groups() {
		g.hashing = nil
	}
}

// hashSettings are those of consistent_hash.
type hashSettings struct {
	loadFactor float64
	header     string // in lower case, as metadata has it
}

// hashed returns the settings, those that are not set as the policy has them by default.
func (c Config) hashed() hashSettings {
	h := c.LoadBalancing.ConsistentHash
	s := hashSettings{loadFactor: 1.25, header: strings.ToLower(policy.Value(h.Header))}
	if h.LoadFactor != nil {
		s.loadFactor = *h.LoadFactor
	}
	return s
}

// check reports settings that cannot be carried out.
func (s hashSettings) check(problem func(path, format string, args ...any)) {
	if !(s.loadFactor >= 1 && s.loadFactor <= 100) {
		problem("load_balancing.consistent_hash.load_factor", "%v is out of range; write 1 to 100", s.loadFactor)
	}
}

// tally counts calls in flight over several cache lines, so that callers seldom meet. The zero value is 0.
type tally struct {
	cells [tallyCells]struct {
		n atomic.Int64
		_ [120]byte // with n, two cache lines: CPUs fetch in pairs
	}
}

const tallyCells = 8 // a power of two

// sum adds the cells up. Calls that begin or end meanwhile may be missed or counted: the sum is off by no more of them.
func (t *tally) sum() int64 {
	var n int64
	for i := range t.cells {
		n += t.cells[i].n.Load()
	}
	return max(0, n)
}
