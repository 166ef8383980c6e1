package balancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/cespare/xxhash/v2"

	"github.com/goresilient/goresilient/runtime/policy"
)

func consistentHashConfig(loadFactor float64) Config {
	return Config{LoadBalancing: &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{
		LoadFactor: policy.Set(loadFactor), Header: policy.Set("X-Key"),
	}}}
}

// hashRig is a rig whose calls have keys.
func hashRig(t *testing.T, cfg Config, addrs ...string) *rig {
	t.Helper()
	r := newRig(t, cfg)
	t.Cleanup(r.lb.Close)
	r.ch.Record(true)
	if len(addrs) > 0 {
		r.must(r.resolve(addrs...))
		bringUp(r.cc)
		r.time.fire()
	}
	return r
}

// begin picks for the context's call and returns where to, and the call's end.
func (r *rig) begin(ctx context.Context) (string, func(balancer.DoneInfo)) {
	r.t.Helper()
	res, err := r.cc.last().Picker.Pick(balancer.PickInfo{Ctx: ctx})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.SubConn.(*fakeSubConn).addrs[0].Addr, res.Done
}

var fine = balancer.DoneInfo{BytesSent: true, BytesReceived: true}

// owners returns where calls with each of n keys go.
func (r *rig) owners(n uint64) []string {
	r.t.Helper()
	out := make([]string, n)
	for key := range n {
		addr, done := r.begin(r.ch.withKey(key))
		done(fine)
		out[key] = addr
	}
	return out
}

func TestEqualKeysGoToOneEndpointFromAnyClient(t *testing.T) {
	addrs := addresses(50)
	a := hashRig(t, consistentHashConfig(1.25), addrs...)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	b := hashRig(t, consistentHashConfig(1.25), addrs...)
	if !slices.Equal(a.owners(1000), b.owners(1000)) {
		t.Error("two clients disagree where keys belong")
	}
}

func TestKeysComeBackWithTheirEndpoint(t *testing.T) {
	addrs := addresses(20)
	r := hashRig(t, consistentHashConfig(1.25), addrs...)
	before := r.owners(500)
	for range 3 { // as the targets are made anew, appended to, and shared
		r.cc.at(t, addrs[7]).becomes(connectivity.Idle)
		r.time.fire()
		for key, addr := range r.owners(500) {
			if addr == addrs[7] {
				t.Fatalf("key %d goes to an endpoint that is not READY", key)
			}
			if before[key] != addrs[7] && addr != before[key] {
				t.Errorf("key %d moved from %s to %s", key, before[key], addr)
			}
		}
		sc := r.cc.at(t, addrs[7])
		sc.becomes(connectivity.Connecting)
		sc.becomes(connectivity.Ready)
		r.time.fire()
		if !slices.Equal(r.owners(500), before) {
			t.Fatal("the endpoint is back, and not all of its keys are")
		}
	}
}

func TestReplacedEndpointMovesOnlyItsKeys(t *testing.T) {
	addrs := addresses(20)
	r := hashRig(t, consistentHashConfig(1.25), addrs...)
	before := r.owners(500)
	next := slices.Clone(addrs)
	next[3] = "10.9.9.9:443"
	r.must(r.resolve(next...))
	sc := r.cc.at(t, next[3])
	sc.becomes(connectivity.Connecting)
	sc.becomes(connectivity.Ready)
	r.time.fire()
	got := 0
	for key, addr := range r.owners(500) {
		switch {
		case addr == next[3]:
			got++
		case addr == addrs[3]:
			t.Fatalf("key %d goes to an endpoint that is gone", key)
		case before[key] != addrs[3] && addr != before[key]:
			t.Errorf("key %d moved from %s to %s", key, before[key], addr)
		}
	}
	if got == 0 {
		t.Error("the new endpoint has no keys")
	}
}

// While calls run, none has more of them than its bound; the key goes on to the next, and comes back as there is room.
func TestLoadIsBounded(t *testing.T) {
	const n, factor = 10, 1.5
	r := hashRig(t, consistentHashConfig(factor), addresses(n)...)
	home := r.owners(1)[0]
	running := map[string][]func(balancer.DoneInfo){}
	for total := range 200 {
		addr, done := r.begin(r.ch.withKey(0))
		if bound := int(factor*float64(total+1)/n) + 1; len(running[addr])+1 > bound {
			t.Fatalf("with %d calls running, %s has %d of them and got another; the bound is %d", total, addr, len(running[addr]), bound)
		}
		running[addr] = append(running[addr], done)
	}
	if len(running) < 7 {
		t.Errorf("200 calls at once went to %d endpoints", len(running))
	}
	for _, list := range running {
		for _, done := range list {
			done(fine)
		}
	}
	if got := r.ch.total.Load().sum(); got != 0 {
		t.Errorf("%d calls run after the last has ended", got)
	}
	if got := r.owners(1)[0]; got != home {
		t.Errorf("the key goes to %s, want %s again", got, home)
	}
}

// Each weighs as much as its weight in what it owns and in how much it may run.
func TestBoundFollowsWeight(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1))
	r.sites(site{addr: "a", weight: 1}, site{addr: "b", weight: 3}, site{addr: "c", weight: 6})
	bringUp(r.cc)
	r.time.fire()
	got := map[string]int{}
	for range 100 {
		addr, done := r.begin(r.ch.withKey(rand.Uint64()))
		got[addr]++
		defer done(fine)
	}
	if got["a"] != 10 || got["b"] != 30 || got["c"] != 60 {
		t.Errorf("running calls = %v, want 10, 30 and 60", got)
	}
	r.sites(site{addr: "a", weight: 1}, site{addr: "b", weight: 1}, site{addr: "c", weight: 1})
	for range 20 {
		addr, done := r.begin(r.ch.withKey(rand.Uint64()))
		if addr == "c" {
			t.Fatal("c got a call although it has more than its new share")
		}
		defer done(fine)
	}
}

func TestEachAttemptGoesToAnotherEndpoint(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1.25), addresses(5)...)
	var orders [2][]string
	for i := range orders {
		ctx := r.ch.withKey(42)
		for range 5 {
			addr, done := r.begin(ctx)
			done(fine)
			if slices.Contains(orders[i], addr) {
				t.Fatalf("after %v the next attempt goes to %s", orders[i], addr)
			}
			orders[i] = append(orders[i], addr)
			ctx = ctx.next()
		}
		_, done := r.begin(ctx) // where everything was tried, the attempt goes anywhere
		done(fine)
	}
	if !slices.Equal(orders[0], orders[1]) {
		t.Errorf("the order is %v at one time and %v at another", orders[0], orders[1])
	}
}

func TestKeyFromMetadata(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1.25), addresses(20)...)
	for _, user := range []string{"alice", "bob", "carol"} {
		want, done := r.begin(r.ch.withKey(xxhash.Sum64String(user)))
		done(fine)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-key", user, "x-key", "ignored")
		for range 5 {
			addr, done := r.begin(ctx)
			done(fine)
			if addr != want {
				t.Fatalf("%s goes to %s by the header and to %s by the record", user, addr, want)
			}
		}
	}
}

func TestCallsWithoutKeyAreSpread(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1.25), addresses(4)...)
	for _, ctx := range []context.Context{nil, t.Context()} {
		got := map[string]int{}
		for range 4000 {
			addr, done := r.begin(ctx)
			done(fine)
			got[addr]++
		}
		for addr, n := range got {
			if n < 500 {
				t.Errorf("%s got %d of 4000 calls", addr, n)
			}
		}
	}
}

func TestEjectedEndpointFallsThrough(t *testing.T) {
	cfg := consistentHashConfig(1.25)
	cfg.OutlierDetection = &policy.OutlierDetection{
		Interval: policy.Set(10 * time.Second), BaseEjectionTime: policy.Set(30 * time.Second),
		MaxEjectionTime: policy.Set(300 * time.Second), MaxEjectedRatio: policy.Set(0.2), ConsecutiveFailures: policy.Set(3),
		MinimumCalls: policy.Set(100), MinimumEndpoints: policy.Set(5),
	}
	r := hashRig(t, cfg, addresses(10)...)
	before := r.owners(300)
	bad := before[0]
	for range 3 {
		_, done := r.begin(r.ch.withKey(0))
		done(balancer.DoneInfo{Err: status.Error(codes.Unavailable, "no"), BytesSent: true, BytesReceived: true})
	}
	r.time.fire() // the ejection
	r.time.fire() // its publication
	for key, addr := range r.owners(300) {
		if addr == bad || before[key] != bad && addr != before[key] {
			t.Fatalf("key %d went to %s and now goes to %s; %s is ejected", key, before[key], addr, bad)
		}
	}
	r.time.advance(50 * time.Second)
	if !slices.Equal(r.owners(300), before) {
		t.Error("the ejection is over, and the keys are elsewhere")
	}
}

// An endpoint with a small share keeps that part of its keys, and the others stay where they went.
func TestShareIsThatOfTheKeys(t *testing.T) {
	const keys = 4000
	r := hashRig(t, consistentHashConfig(1.25), addresses(4)...)
	before := r.owners(keys)
	e := r.ch.list[0]
	had, last := 0, map[uint64]bool{}
	for _, addr := range before {
		if addr == e.name {
			had++
		}
	}
	for _, share := range []float64{0.1, 0.5} {
		e.load.share.Store(uint32(share * fullShare))
		kept := map[uint64]bool{}
		for key, addr := range r.owners(keys) {
			if addr == e.name {
				kept[uint64(key)] = true
			} else if before[key] != e.name && addr != before[key] {
				t.Fatalf("key %d moved from %s to %s", key, before[key], addr)
			}
		}
		if got := float64(len(kept)) / float64(had); got < 0.8*share || got > 1.2*share {
			t.Errorf("with a share of %v it has %v of its keys", share, got)
		}
		for key := range last {
			if !kept[key] {
				t.Fatalf("as the share grew, key %d left", key)
			}
		}
		last = kept
	}
}

// Whatever comes and goes, the ring is that of the members and its slots are the endpoints that take calls.
func TestRingFollowsThePool(t *testing.T) {
	all := addresses(30)
	r := hashRig(t, consistentHashConfig(1.25), all[:20]...)
	random := rand.New(rand.NewPCG(3, 4))
	for step := range 300 {
		switch conns := r.cc.live(); random.IntN(4) {
		case 0:
			list := slices.DeleteFunc(slices.Clone(all), func(string) bool { return random.IntN(8) == 0 })
			r.must(r.resolve(list...))
		default:
			sc := conns[random.IntN(len(conns))]
			if sc.state == connectivity.Ready {
				sc.becomes(connectivity.Idle)
			} else {
				sc.becomes(connectivity.Connecting)
				sc.becomes(connectivity.Ready)
			}
		}
		if random.IntN(2) == 0 {
			r.time.fire()
		}
		p, ok := r.cc.last().Picker.(*picker)
		if !ok || r.time.open() > 0 {
			continue
		}
		c := p.rule.(*consistentHash)
		if want := newRing(r.ch.list, false); !slices.Equal(c.members, want.members) || !slices.Equal(c.ascending, want.ascending) {
			t.Fatalf("step %d: the ring is not that of the list", step)
		}
		for i, e := range c.members {
			s := c.slots[i].Load()
			if ready := e.is(connectivity.Ready); ready != (s != nil) || ready && (s.e != e || s.sc != e.sc) {
				t.Fatalf("step %d: %s is %v and its slot %v", step, e.name, connectivity.State(e.state), s)
			}
		}
		if got, want := c.factor, 1.25/float64(len(c.targets)); got != want {
			t.Fatalf("step %d: factor %v, want %v", step, got, want)
		}
	}
}

func TestSwitchToAndFromConsistentHash(t *testing.T) {
	addrs := addresses(10)
	r := hashRig(t, roundRobinConfig(), addrs...)
	want := hashRig(t, consistentHashConfig(1.25), addrs...).owners(100)
	r.ch.Configure(consistentHashConfig(1.25))
	r.must(r.resolve(addrs...))
	if !slices.Equal(r.owners(100), want) {
		t.Error("after the switch keys are elsewhere")
	}
	_, done := r.begin(r.ch.withKey(1))
	r.ch.Configure(roundRobinConfig())
	r.must(r.resolve(addrs...))
	done(fine)
	if r.ch.total.Load() != nil {
		t.Error("calls are counted for a policy that is gone")
	}
	for g := range r.lb.(*instance).current.(*pool).groups() {
		if g.hashing != nil {
			t.Error("the ring of a policy that is gone is kept")
		}
	}
}

func TestConsistentHashDoesNotAllocate(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1.25), addresses(100)...)
	ctx, p := r.ch.withKey(7), r.cc.last().Picker
	if n := testing.AllocsPerRun(1000, func() {
		res, err := p.Pick(balancer.PickInfo{Ctx: ctx})
		if err != nil {
			t.Fatal(err)
		}
		res.Done(fine)
		ctx.again()
	}); n >= 0.5 { // a collection may empty the pool of completions
		t.Errorf("a pick allocates %v times", n)
	}
}

func TestConsistentHashSettingsAreChecked(t *testing.T) {
	for _, factor := range []float64{0.99, 101} {
		if err := ValidateConfig(consistentHashConfig(factor)); err == nil {
			t.Errorf("load_factor %v is taken", factor)
		}
	}
	if err := ValidateConfig(consistentHashConfig(1)); err != nil {
		t.Error(err)
	}
}

// Each tier has a ring of its own, and room in proportion to its share of the calls.
func TestTiersHaveTheirOwnRings(t *testing.T) {
	r := hashRig(t, consistentHashConfig(1.25))
	var list []site
	for i := range 10 {
		list = append(list, site{addr: fmt.Sprintf("a%d", i)}, site{addr: fmt.Sprintf("b%d", i), priority: 1})
	}
	r.sites(list...)
	bringUp(r.cc) // of the best priority
	for i := range 5 {
		r.cc.at(t, fmt.Sprintf("a%d", i)).fails(errNobody)
	}
	r.time.advance(20 * time.Second)
	bringUp(r.cc)
	for i := range 5 {
		r.cc.at(t, fmt.Sprintf("a%d", i)).fails(errNobody)
	}
	r.time.advance(time.Second)
	rules := r.cc.last().Picker.(*picker).rule.(*keyed).rules
	if len(rules) != 2 {
		t.Fatalf("%d tiers, want 2", len(rules))
	}
	var room float64
	for i, one := range rules {
		c := one.(*consistentHash)
		room += c.factor * float64(len(c.targets))
		for _, e := range c.members {
			if int(e.priority) != i {
				t.Errorf("%s is in the ring of tier %d", e.name, i)
			}
		}
	}
	if room < 1.249 || room > 1.251 {
		t.Errorf("there is room for %v times the calls in flight, want 1.25 times", room)
	}
	r.owners(200)
}
