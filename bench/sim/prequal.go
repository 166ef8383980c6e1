package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc/balancer"
)

// prequal is the asynchronous mode of Prequal (Wydrowski, Kleinberg, Rumble, Archer: "Load is not what you should balance:
// Introducing Prequal", NSDI 2024) with the paper's parameters. Each call sends probes to servers drawn at random; a server
// answers with its calls in flight (RIF) and the latency it expects. Of the answers in the pool, those above a quantile of the
// RIFs seen are hot: a cold one of the least latency is chosen, of hot ones alone the least RIF.
//
// What the paper does not specify is chosen here: the RIF quantile is over the last 128 answers, the pool is no larger than the
// number of servers, and there is nothing against servers that fail fast. A server that stands still answers no probes.
type prequal struct {
	clock   *Clock
	random  *rand.Rand
	servers []*Server
	size    int // of the pool, at most
	pool    []*probe
	uses    float64 // of one probe
	rifs    [prequalWindow]int
	counts  []int // of rifs, by RIF
	seen    int
	worst   bool // what to remove next: the worst, or the oldest
}

type probe struct {
	server  int
	rif     int
	latency int64
	at      int64
	uses    float64 // that are left
}

const (
	prequalPool     = 16
	prequalProbes   = 3
	prequalRemovals = 1
	prequalAge      = int64(time.Second)
	prequalDelta    = 1
	prequalWindow   = 128
)

var prequalHot = math.Pow(2, -0.25)

func newPrequal(clock *Clock, random *rand.Rand, servers []*Server) rule {
	p := &prequal{clock: clock, random: random, servers: servers, uses: 1}
	p.size = min(prequalPool, len(servers))
	if rate := (1-float64(p.size)/float64(len(servers)))*prequalProbes - prequalRemovals; rate > 0 {
		p.uses = max(p.uses, (1+prequalDelta)/rate)
	}
	return p
}

func (p *prequal) pick(now int64) (int, func(balancer.DoneInfo)) {
	p.pool = slices.DeleteFunc(p.pool, func(b *probe) bool { return now-b.at > prequalAge })
	p.send()
	if len(p.pool) < 2 {
		return p.random.IntN(len(p.servers)), nil
	}
	limit := p.limit()
	best := p.pool[0]
	for _, b := range p.pool[1:] {
		if b.better(best, limit) {
			best = b
		}
	}
	best.rif++
	if best.uses--; best.uses <= 0 {
		p.drop(best)
	}
	p.remove(limit)
	return best.server, nil
}

// better tells whether b goes before o.
func (b *probe) better(o *probe, limit int) bool {
	hot, other := b.rif > limit, o.rif > limit
	switch {
	case hot != other:
		return other
	case hot:
		return b.rif < o.rif
	default:
		return b.latency < o.latency
	}
}

// limit returns the RIF above which a server is hot.
func (p *prequal) limit() int {
	below := int(float64(min(p.seen, prequalWindow)-1) * prequalHot)
	for rif, n := range p.counts {
		if below -= n; below < 0 {
			return rif
		}
	}
	return len(p.counts)
}

// remove takes the oldest probe, or the worst one, out.
func (p *prequal) remove(limit int) {
	if len(p.pool) < 2 {
		return
	}
	gone := p.pool[0]
	for _, b := range p.pool[1:] {
		if p.worst && gone.better(b, limit) || !p.worst && b.at < gone.at {
			gone = b
		}
	}
	p.worst = !p.worst
	p.drop(gone)
}

func (p *prequal) drop(b *probe) {
	p.pool = slices.DeleteFunc(p.pool, func(o *probe) bool { return o == b })
}

// send sends the probes of one call.
func (p *prequal) send() {
	var sent [prequalProbes]int
	for k := range min(prequalProbes, len(p.servers)) {
		i := p.random.IntN(len(p.servers))
		for slices.Contains(sent[:k], i) {
			i = p.random.IntN(len(p.servers))
		}
		sent[k] = i
		p.clock.after(oneWay, func() {
			s := p.servers[i]
			if s.phase().Speed == 0 {
				return
			}
			rif := s.load()
			latency := s.seen.latency(p.clock.now, rif)
			p.clock.after(oneWay, func() { p.take(i, rif, latency) })
		})
	}
}

// take takes the answer to a probe.
func (p *prequal) take(i, rif int, latency int64) {
	if p.seen >= prequalWindow {
		p.counts[p.rifs[p.seen%prequalWindow]]--
	}
	for len(p.counts) <= rif {
		p.counts = append(p.counts, 0)
	}
	p.counts[rif]++
	p.rifs[p.seen%prequalWindow] = rif
	p.seen++
	p.pool = slices.DeleteFunc(p.pool, func(b *probe) bool { return b.server == i })
	if len(p.pool) == p.size {
		oldest := p.pool[0]
		for _, b := range p.pool[1:] {
			if b.at < oldest.at {
				oldest = b
			}
		}
		p.drop(oldest)
	}
	uses := math.Floor(p.uses)
	if p.random.Float64() < p.uses-uses {
		uses++
	}
	p.pool = append(p.pool, &probe{i, rif, latency, p.clock.now, uses})
}

// probed is what a server remembers for probes: the last latencies, by how many calls each one met on its arrival.
type probed struct {
	byRIF []recent
	at    int64 // of the last call that ended
}

type recent struct {
	latency [9]int64
	n       int
	at      int64
}

func (r *recent) median() int64 {
	sorted := r.latency
	k := min(r.n, len(sorted))
	slices.Sort(sorted[:k])
	return sorted[k/2]
}

func (p *probed) note(now, latency int64, met int) {
	for len(p.byRIF) <= met {
		p.byRIF = append(p.byRIF, recent{})
	}
	r := &p.byRIF[met]
	r.latency[r.n%len(r.latency)] = latency
	r.n++
	r.at, p.at = now, now
}

// latency returns the median of the last latencies of calls that met as many calls, or nearly, within the last second before
// the last one that ended. While the server is idle it halves every second, lest it be judged by its past for ever.
func (p *probed) latency(now int64, rif int) int64 {
	best := -1
	for k := range p.byRIF {
		if r := &p.byRIF[k]; r.n > 0 && p.at-r.at < int64(time.Second) && (best < 0 || max(k-rif, rif-k) < max(best-rif, rif-best)) {
			best = k
		}
	}
	if best < 0 {
		return 0
	}
	median := float64(p.byRIF[best].median())
	if rif == 0 {
		median *= math.Exp2(-float64(now-p.at) / float64(time.Second))
	}
	return int64(median)
}
