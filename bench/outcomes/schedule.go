package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goresilient/goresilient/bench/internal/fleet"
)

// event is a fault of one server.
type event struct {
	at, until time.Duration // since the start
	server    int
	fault     fault
	cause     string // why it has the fault: itself, its rack, a rollout
}

// What has a server fail.
const (
	bySelf    = "a server"
	byRack    = "a rack"
	byRollout = "in a rollout, a server"
)

const (
	racks = 3 // server i stands in rack i mod racks
	// Each period has one outage of a rack, and one rollout that restarts rolled servers, one every rollEach.
	period   = 10 * time.Second
	outage   = 2 * time.Second
	rolled   = 4
	rollEach = time.Second
	restart  = 600 * time.Millisecond // from a server's leaving until it is back
	// recovery is how long a server is left alone after a fault.
	recovery = time.Second
)

// schedule is what happens in a run. It follows from its seed.
type schedule []event

// newSchedule fills length with periods, from the time from on. Besides the rack and the rollout of each period, a server fails
// every 1.5 seconds or so, for 1 to 4 seconds. A server has one fault at a time; each kind comes as often as the others.
func newSchedule(seed uint64, from, length time.Duration) schedule {
	b := builder{draw: rand.New(rand.NewPCG(seed, 0)), end: from + length}
	outages, singles := deck{of: shared}, deck{of: alone}
	for at := from; at < b.end; at += period {
		b.rack(at+b.between(time.Second, 3*time.Second), outages.next(b.draw))
		b.rollout(at + b.between(6*time.Second, 6400*time.Millisecond))
	}
	for at := from + b.between(0, time.Second); at < b.end; at += b.between(500*time.Millisecond, 2500*time.Millisecond) {
		e := event{at, at + b.between(time.Second, 4*time.Second), b.draw.IntN(servers), fault{}, bySelf}
		if b.free(e) {
			e.fault = singles.next(b.draw)
			b.add(e)
		}
	}
	slices.SortStableFunc(b.events, func(x, y event) int { return int(x.at - y.at) })
	return b.events
}

// builder makes a schedule.
type builder struct {
	draw   *rand.Rand
	end    time.Duration
	events schedule
}

func (b *builder) between(least, most time.Duration) time.Duration {
	return least + time.Duration(b.draw.Int64N(int64(most-least)))
}

// free tells whether the server of e has no other fault then.
func (b *builder) free(e event) bool {
	return !slices.ContainsFunc(b.events, func(other event) bool {
		return other.server == e.server && e.at < other.until+recovery && other.at < e.until+recovery
	})
}

// add adds e, unless it would reach past the end.
func (b *builder) add(e event) {
	if e.until < b.end {
		b.events = append(b.events, e)
	}
}

// rack has a rack fail at once.
func (b *builder) rack(at time.Duration, f fault) {
	r := b.draw.IntN(racks)
	for i := r; i < servers; i += racks {
		b.add(event{at, at + outage, i, f, byRack})
	}
}

// rollout restarts servers in a row.
func (b *builder) rollout(at time.Duration) {
	first := b.draw.IntN(servers)
	for i := range rolled {
		if e := (event{at, at + restart, (first + i) % servers, leaves, byRollout}); b.free(e) {
			b.add(e)
		}
		at += rollEach
	}
}

// deck deals all kinds of fault before one comes again.
type deck struct{ of, left []fault }

func (d *deck) next(draw *rand.Rand) fault {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.of)
		draw.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	f := d.left[0]
	d.left = d.left[1:]
	return f
}

// play makes everything happen to a fleet, and returns when all is well again.
func (s schedule) play(start time.Time, all fleet.Fleet) error {
	errs := make([]error, len(s))
	var wg sync.WaitGroup
	for i, e := range s {
		wg.Go(func() {
			time.Sleep(time.Until(start.Add(e.at)))
			errs[i] = e.fault.happen(all[e.server], start.Add(e.until))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// count tells how often each thing happened, e.g., "a rack crashes: 9".
func count(schedules []schedule) string {
	seen := make(map[string]int)
	for _, s := range schedules {
		for _, e := range s {
			seen[e.cause+" "+e.fault.name]++
		}
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		n := seen[what]
		if strings.HasPrefix(what, byRack) {
			n /= servers / racks
		}
		parts = append(parts, fmt.Sprintf("%s: %d", what, n))
	}
	return strings.Join(parts, "; ")
}
