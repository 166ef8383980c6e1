package balancer

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/policy"
)

// eligibilityHistory drives a balancer with everything on through random histories, beside a naive model of which endpoints
// it connects to, which of them take calls, and which state that comes to.
type eligibilityHistory struct {
	*rig
	rt     *rapid.T
	cfg    Config
	listed []site
	states map[string]connectivity.State // as the model has them: TRANSIENT_FAILURE sticks
	closed bool
	wrong  string // with a publication
}

// watcher checks every publication as it comes.
type watcher struct {
	*fakeConn
	h *eligibilityHistory
}

func (w *watcher) UpdateState(s balancer.State) {
	if p, ok := s.Picker.(*picker); ok {
		sum := 0.0
		for _, tier := range p.tiers {
			sum += tier.share
			for _, t := range tier.targets {
				if sc := t.sc.(*fakeSubConn); sc.state != connectivity.Ready {
					w.h.wrong = fmt.Sprintf("published %v, which is not READY", sc)
				}
				if t.e.ejected && !t.e.group.panicking {
					w.h.wrong = fmt.Sprintf("published %s, which is ejected", t.e.name)
				}
			}
		}
		if sum < 1-1e-6 || sum > 1+1e-6 {
			w.h.wrong = fmt.Sprintf("the shares come to %v", sum)
		}
	}
	w.fakeConn.UpdateState(s)
}

func (h *eligibilityHistory) start() {
	h.closed = false
	h.lb = builder{}.Build(&watcher{h.cc, h}, balancer.BuildOptions{})
}

func (h *eligibilityHistory) draw(rt *rapid.T) Config {
	lb := &policy.LoadBalancing{
		LeastRequest: &policy.LeastRequest{},
		SubsetSize:   policy.Set(rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(rt, "subset_size")),
		PanicRatio:   policy.Set(rapid.SampledFrom([]float64{0, .5, 1}).Draw(rt, "panic_ratio")),
		Failover:     &policy.Failover{Disabled: policy.Set(rapid.Bool().Draw(rt, "one set"))},
	}
	if rapid.Bool().Draw(rt, "zone_aware") {
		ratio := rapid.SampledFrom([]float64{.1, .7, 1}).Draw(rt, "min_healthy_ratio")
		lb.ZoneAware = &policy.ZoneAware{MinHealthyRatio: policy.Set(ratio)}
	}
	if rapid.Bool().Draw(rt, "slow_start") {
		lb.SlowStart = &policy.SlowStart{}
	}
	cfg := Config{LoadBalancing: policy.Complete(&policy.Service{LoadBalancing: lb}).LoadBalancing, Zone: "here"}
	if rapid.Bool().Draw(rt, "outlier_detection") {
		cfg.OutlierDetection = policy.Complete(&policy.Service{OutlierDetection: &policy.OutlierDetection{
			ConsecutiveFailures: policy.Set(2), FailureRatio: policy.Set(.5), MinimumCalls: policy.Set(3),
			MaxEjectedRatio: policy.Set(rapid.SampledFrom([]float64{.1, .5, 1}).Draw(rt, "max_ejected_ratio")),
		}}).OutlierDetection
	}
	return cfg
}

func (h *eligibilityHistory) update() {
	_ = h.push(siteState(h.t, h.listed)) // an empty list is refused
	live := make(map[string]bool)
	for _, sc := range h.cc.live() {
		live[sc.addrs[0].Addr] = true
	}
	maps.DeleteFunc(h.states, func(addr string, _ connectivity.State) bool { return !live[addr] })
}

func (h *eligibilityHistory) transport(rt *rapid.T) {
	live := h.cc.live()
	if h.closed || len(live) == 0 {
		rt.Skip("no SubConn")
	}
	sc := rapid.SampledFrom(live).Draw(rt, "SubConn")
	next := connectivity.Idle
	switch sc.state {
	case connectivity.Idle:
		next = connectivity.Connecting
	case connectivity.Connecting:
		next = rapid.SampledFrom([]connectivity.State{connectivity.Ready, connectivity.Ready, connectivity.TransientFailure}).Draw(rt, "state")
	}
	h.moves(sc, next)
}

func (h *eligibilityHistory) moves(sc *fakeSubConn, s connectivity.State) {
	addr := sc.addrs[0].Addr
	if h.states[addr] != connectivity.TransientFailure || s == connectivity.Ready {
		h.states[addr] = s
	}
	if s == connectivity.TransientFailure {
		sc.fails(errRefused)
	} else {
		sc.becomes(s)
	}
}

func (h *eligibilityHistory) bringUp(rt *rapid.T) {
	if h.closed {
		rt.Skip("closed")
	}
	for _, sc := range h.cc.live() {
		for sc.state != connectivity.Ready {
			h.moves(sc, map[connectivity.State]connectivity.State{
				connectivity.Idle: connectivity.Connecting, connectivity.Connecting: connectivity.Ready,
				connectivity.TransientFailure: connectivity.Idle,
			}[sc.state])
		}
	}
}

func (h *eligibilityHistory) call(rt *rapid.T) {
	p := h.cc.last().Picker
	if h.closed || p == nil {
		rt.Skip("no picker")
	}
	bad := rapid.SampledFrom(h.listed).Draw(rt, "failing").addr
	for range rapid.IntRange(1, 30).Draw(rt, "calls") {
		res, err := p.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil {
			return
		}
		if res.Done == nil {
			continue
		}
		info := balancer.DoneInfo{BytesSent: true, BytesReceived: true}
		if res.SubConn.(*fakeSubConn).addrs[0].Addr == bad {
			info.Err = errUnavailable
		}
		res.Done(info)
	}
	h.time.advance(0) // failures in a row are looked at
}

// wanted returns what the model chooses of each priority, the best first.
func (h *eligibilityHistory) wanted() [][]*endpoint {
	parts := make(map[uint32][]*endpoint)
	for _, e := range h.ch.list {
		value := e.priority
		if *h.cfg.LoadBalancing.Failover.Disabled {
			value = 0
		}
		parts[value] = append(parts[value], e)
	}
	var out [][]*endpoint
	for _, value := range slices.Sorted(maps.Keys(parts)) {
		out = append(out, naiveSubset(parts[value], *h.cfg.LoadBalancing.SubsetSize, h.ch.salt))
	}
	return out
}

func (h *eligibilityHistory) check(rt *rapid.T) {
	if h.wrong != "" {
		rt.Fatal(h.wrong)
	}
	if h.closed || !h.ch.Status().Updated {
		return
	}
	status := map[string]EndpointStatus{}
	for _, e := range h.ch.Endpoints() {
		status[e.Endpoint.ID()] = e
	}
	total, takers, hope, before := 0, 0, false, 0.0
	for i, members := range h.wanted() {
		connected := status[members[0].name].Selected
		if !connected && before < 1 {
			rt.Fatalf("priority %d is not connected; those before carry %v", i, before)
		}
		hope = hope || !connected
		usable := 0
		for _, e := range members {
			s := status[e.name]
			if s.Selected != connected {
				rt.Fatalf("%s is not selected like the rest of the priority", e.name)
			}
			delete(status, e.name)
			if !connected {
				usable++
				continue
			}
			total++
			if want := h.states[e.name]; s.State != want {
				rt.Fatalf("%s is %v, want %v", e.name, s.State, want)
			}
			switch {
			case s.State == connectivity.Ready && s.Share > 0:
				takers++
				usable++
			case s.State == connectivity.Idle, s.State == connectivity.Connecting:
				hope = true
				usable++
			}
		}
		before += capacity(usable, len(members), .7)
	}
	for name, s := range status {
		if s.Selected {
			rt.Fatalf("%s is selected, and the model does not choose it", name)
		}
	}
	want := connectivity.TransientFailure
	switch {
	case takers > 0:
		want = connectivity.Ready
	case hope:
		want = connectivity.Connecting
	}
	s := h.ch.Status()
	if s.State != want || s.Total != total || len(h.cc.live()) != total {
		rt.Fatalf("status = %+v with %d SubConns, want %v of %d", s, len(h.cc.live()), want, total)
	}
	if s.Ejected > 0 && h.cfg.OutlierDetection == nil {
		rt.Fatalf("%d of %d are ejected without outlier detection", s.Ejected, total)
	}
}

// ejects does what may eject: never more than allowed at once, but one, and never the only one. What was ejected elsewhere, and
// comes together by a change of the list, stays until the next sweep.
func (h *eligibilityHistory) ejects(rt *rapid.T, f func()) {
	before := h.ch.Status()
	f()
	after := h.ch.Status()
	if o := h.cfg.OutlierDetection; o != nil && !h.closed && before.Total == after.Total && after.Ejected > before.Ejected {
		if allowed := max(1, int(*o.MaxEjectedRatio*float64(after.Total))); after.Ejected > allowed || after.Total == 1 {
			rt.Fatalf("%d of %d are ejected, %d before", after.Ejected, after.Total, before.Ejected)
		}
	}
}

// settle ends the window: a picker that is READY gives calls, to READY endpoints alone.
func (h *eligibilityHistory) settle(rt *rapid.T) {
	h.time.fire()
	if h.closed || h.cc.last().ConnectivityState != connectivity.Ready {
		return
	}
	h.fresh(rt)
	for range 20 {
		res, err := h.cc.last().Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil || res.SubConn.(*fakeSubConn).state != connectivity.Ready {
			rt.Fatalf("pick = %v, %v", res.SubConn, err)
		}
		if res.Done != nil {
			res.Done(balancer.DoneInfo{})
		}
	}
}

// fresh checks that what was published last is what would be published now.
func (h *eligibilityHistory) fresh(rt *rapid.T) {
	got := h.cc.last().Picker.(*picker).tiers
	h.ch.mu.Lock()
	defer h.ch.mu.Unlock()
	want := h.ch.owner.current.(*pool).eligible()
	if len(got) != len(want) {
		rt.Fatalf("published are %d tiers, want %d", len(got), len(want))
	}
	for i, tier := range got {
		if math.Abs(tier.share-want[i].share) > 1e-6 || len(tier.targets) != len(want[i].targets) {
			rt.Fatalf("tier %d takes %v with %d endpoints, want %v with %d", i,
				tier.share, len(tier.targets), want[i].share, len(want[i].targets))
		}
	}
}

func TestEligibilityHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &eligibilityHistory{rt: rt, states: make(map[string]connectivity.State)}
		h.rig = &rig{t: t, cc: new(fakeConn), time: new(manualTime)}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		h.cfg = h.draw(rt)
		h.ch = NewChannel(h.cfg, Options{AfterFunc: h.time.afterFunc, Now: h.time.now, Rand: random.Uint64})
		h.start()
		list := func(rt *rapid.T) {
			h.listed = nil
			for _, addr := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}), 1, 7, rapid.ID).Draw(rt, "list") {
				h.listed = append(h.listed, site{
					addr:     addr,
					priority: rapid.SampledFrom([]uint32{0, 0, 1, 3}).Draw(rt, "priority"),
					zone:     rapid.SampledFrom([]string{"", "here", "there"}).Draw(rt, "zone"),
				})
			}
			h.update()
		}
		list(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"list": func(rt *rapid.T) {
				if h.closed {
					rt.Skip("closed")
				}
				list(rt)
			},
			"policy": func(rt *rapid.T) {
				h.cfg = h.draw(rt)
				h.ch.Configure(h.cfg)
				if !h.closed {
					h.update()
				}
			},
			"one less": func(rt *rapid.T) {
				if h.closed || len(h.listed) < 2 {
					rt.Skip("none to spare")
				}
				h.listed = h.listed[1:]
				h.update()
			},
			"transport":       h.transport,
			"transport again": h.transport,
			"bring up":        h.bringUp,
			"call":            func(rt *rapid.T) { h.ejects(rt, func() { h.call(rt) }) },
			"call again":      func(rt *rapid.T) { h.ejects(rt, func() { h.call(rt) }) },
			"settle":          h.settle,
			"time": func(rt *rapid.T) {
				h.ejects(rt, func() {
					h.time.advance(rapid.SampledFrom([]time.Duration{window, time.Second, 10 * time.Second, time.Minute, time.Hour}).Draw(rt, "time"))
				})
				for _, sc := range h.cc.conns {
					if sc.state == connectivity.Shutdown {
						delete(h.states, sc.addrs[0].Addr)
					}
				}
			},
			"idle": func(rt *rapid.T) {
				if h.closed {
					h.start()
					h.update()
					return
				}
				h.lb.Close()
				h.closed = true
				clear(h.states)
				if left := h.cc.live(); len(left) > 0 {
					rt.Fatalf("Close left %v", left)
				}
			},
			"": h.check,
		})
		h.lb.Close()
		h.time.fire()
		if h.time.open() != 0 {
			rt.Fatal("Close left a timer")
		}
	})
}
