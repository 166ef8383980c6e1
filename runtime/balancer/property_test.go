package balancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"pgregory.net/rapid"
)

// history drives a balancer over a fake channel through whatever rapid draws, beside a naive model of what it should say.
type history struct {
	*rig
	rt     *rapid.T
	cfg    Config
	listed []string
	model  map[*fakeSubConn]*modelled
	seq    int // publications so far
	// waiting are calls that picked a SubConn which was not READY, with the number of the picker that they used.
	waiting []int
	running []func(balancer.DoneInfo)
	pickers map[*endpoint]bool // every endpoint that ever had a call
	closed  bool
	wrong   string // with a publication; it is reported once the balancer's lock is free
}

// modelled is what one SubConn comes to, told by the history of its reports alone.
type modelled struct {
	transport, health, state connectivity.State
}

func (m *modelled) watched(h *history) bool { return h.cfg.HealthService != nil }

// reported is the naive rule: TRANSIENT_FAILURE sticks until READY, or until a new connection awaits its health check.
func (m *modelled) reported(s connectivity.State) {
	if m.state != connectivity.TransientFailure || s == connectivity.Ready {
		m.state = s
	}
}

// recorder checks every publication as it comes.
type recorder struct {
	*fakeConn
	h *history
}

func (r *recorder) UpdateState(s balancer.State) {
	r.h.seq++
	for _, t := range targetsOf(s.Picker) {
		sc := t.sc.(*fakeSubConn)
		if sc.state != connectivity.Ready {
			r.h.wrong = fmt.Sprintf("published %v, which is not READY", sc)
		}
	}
	r.fakeConn.UpdateState(s)
}

func targetsOf(p balancer.Picker) []target {
	switch p := p.(type) {
	case *turns:
		return p.targets
	case *picker:
		return p.tiers[0].targets
	}
	return nil
}

func newHistory(t *testing.T, rt *rapid.T) *history {
	h := &history{rt: rt, cfg: roundRobinConfig(), model: make(map[*fakeSubConn]*modelled), pickers: make(map[*endpoint]bool)}
	h.rig = &rig{t: t, cc: new(fakeConn), time: new(manualTime)}
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
	h.ch = NewChannel(h.cfg, Options{AfterFunc: h.time.afterFunc, Now: h.time.now, Rand: random.Uint64})
	h.start()
	return h
}

func (h *history) start() {
	h.closed = false
	h.lb = builder{}.Build(&recorder{h.cc, h}, balancer.BuildOptions{})
}

// update pushes the list, and makes the model follow: new SubConns are IDLE.
func (h *history) update() {
	err := h.resolve(h.listed...)
	if (len(h.listed) == 0) != errors.Is(err, balancer.ErrBadResolverState) {
		h.rt.Fatalf("update of %v returns %v", h.listed, err)
	}
	live := h.cc.live()
	for _, sc := range live {
		if h.model[sc] == nil {
			h.model[sc] = &modelled{}
		}
	}
	for sc := range h.model {
		if !slices.Contains(live, sc) {
			delete(h.model, sc)
		}
	}
}

func (h *history) draw() *fakeSubConn {
	live := h.cc.live()
	if h.closed || len(live) == 0 {
		h.rt.Skip("no SubConn")
	}
	return rapid.SampledFrom(live).Draw(h.rt, "SubConn")
}

// call begins a call with the picker that is there.
func (h *history) call() {
	p := h.cc.last().Picker
	if p == nil || h.closed {
		return
	}
	res, err := p.Pick(balancer.PickInfo{})
	if err != nil {
		return
	}
	if sc := res.SubConn.(*fakeSubConn); sc.state != connectivity.Ready {
		if res.Done != nil {
			res.Done(balancer.DoneInfo{})
		}
		h.waiting = append(h.waiting, h.seq)
		return
	}
	if res.Done != nil {
		h.running = append(h.running, res.Done)
	}
	for _, e := range h.ch.list {
		h.pickers[e] = true
	}
}

func (h *history) transport(rt *rapid.T) {
	sc := h.draw()
	next := []connectivity.State{connectivity.Idle}
	switch sc.state {
	case connectivity.Idle:
		next = []connectivity.State{connectivity.Connecting}
	case connectivity.Connecting:
		next = []connectivity.State{connectivity.Ready, connectivity.TransientFailure, connectivity.Idle}
	}
	h.moves(sc, rapid.SampledFrom(next).Draw(rt, "state"), rapid.IntRange(0, 3).Draw(rt, "calls in between"))
}

// exit takes one of several READY SubConns out, with calls before the balancer knows.
func (h *history) exit(rt *rapid.T) {
	sc := h.draw()
	if sc.state != connectivity.Ready {
		rt.Skip("not READY")
	}
	h.moves(sc, connectivity.Idle, 5)
}

// bringUp makes every SubConn READY, and healthy.
func (h *history) bringUp(rt *rapid.T) {
	if h.closed {
		rt.Skip("closed")
	}
	for _, sc := range h.cc.live() {
		if sc.state == connectivity.TransientFailure {
			h.moves(sc, connectivity.Idle, 0)
		}
		if sc.state == connectivity.Idle {
			h.moves(sc, connectivity.Connecting, 0)
		}
		if sc.state == connectivity.Connecting {
			h.moves(sc, connectivity.Ready, 0)
		}
		if h.cfg.HealthService != nil {
			h.verdict(sc, connectivity.Ready)
		}
	}
}

// moves has sc report s; calls are begun when grpc knows it and the balancer does not.
func (h *history) moves(sc *fakeSubConn, s connectivity.State, calls int) {
	if sc.state == connectivity.Idle && sc.connects == 0 {
		h.rt.Fatalf("%v is not told to connect", sc)
	}
	h.cc.mu.Lock()
	sc.state = s
	h.cc.mu.Unlock()
	for range calls {
		h.call()
	}
	m := h.model[sc]
	m.transport, m.health = s, connectivity.Connecting
	if s == connectivity.Ready {
		if m.state = connectivity.Ready; m.watched(h) {
			m.state = connectivity.Connecting
		}
	} else {
		m.reported(s)
	}
	if s == connectivity.TransientFailure {
		sc.fails(fmt.Errorf("failure of %s", sc.addrs[0].Addr))
	} else {
		sc.becomes(s)
	}
}

func (h *history) healthCheck(rt *rapid.T) {
	sc := h.draw()
	if h.cfg.HealthService == nil || sc.state != connectivity.Ready {
		rt.Skip("no health check")
	}
	s := rapid.SampledFrom([]connectivity.State{connectivity.Ready, connectivity.Connecting, connectivity.TransientFailure}).Draw(rt, "health")
	h.verdict(sc, s)
}

func (h *history) verdict(sc *fakeSubConn, s connectivity.State) {
	m := h.model[sc]
	if renewed := m.health == connectivity.Shutdown; !renewed || s != connectivity.Connecting {
		m.reported(s)
		m.health = s
	}
	sc.healthy(s, errors.New("unhealthy"))
}

func (h *history) toggleHealth(rt *rapid.T) {
	if h.cfg.HealthService == nil {
		h.cfg = withHealth(h.cfg, "svc")
	} else {
		h.cfg.HealthService = nil
	}
	h.ch.Configure(h.cfg)
	if h.closed {
		return
	}
	h.update()
	for _, m := range h.model {
		switch {
		case m.transport != connectivity.Ready:
		case h.cfg.HealthService == nil:
			m.state = connectivity.Ready
		case m.state == connectivity.Ready:
			m.health = connectivity.Shutdown // whatever comes first, but CONNECTING, decides
		}
	}
}

func (h *history) switchPicker(rt *rapid.T) {
	service := h.cfg.HealthService
	h.cfg = rapid.SampledFrom([]Config{roundRobinConfig(), leastRequestConfig(2), leastRequestConfig(3)}).Draw(rt, "policy")
	h.cfg.HealthService = service
	h.ch.Configure(h.cfg)
	if !h.closed {
		h.update()
	}
}

func (h *history) idle(rt *rapid.T) {
	if h.closed {
		h.start()
		h.update()
		return
	}
	h.lb.Close()
	h.closed, h.waiting = true, nil // grpc wakes them by itself
	h.model = make(map[*fakeSubConn]*modelled)
	if left := h.cc.live(); len(left) > 0 {
		rt.Fatalf("Close left %v", left)
	}
	if got := h.ch.Status().State; got != connectivity.Idle {
		rt.Fatalf("state = %v after Close", got)
	}
}

// check compares with the model, in the end of each step.
func (h *history) check(rt *rapid.T) {
	if h.wrong != "" {
		rt.Fatal(h.wrong)
	}
	if h.closed || !h.ch.Status().Updated || len(h.cc.published) == 0 {
		return
	}
	counts := make(map[connectivity.State]int)
	for _, m := range h.model {
		counts[m.state]++
	}
	want := connectivity.Connecting
	switch {
	case counts[connectivity.Ready] > 0:
		want = connectivity.Ready
	case counts[connectivity.TransientFailure] == len(h.model):
		want = connectivity.TransientFailure
	}
	s := h.ch.Status()
	if s.State != want || h.cc.last().ConnectivityState != want {
		rt.Fatalf("state = %v, published %v, want %v of %v", s.State, h.cc.last().ConnectivityState, want, counts)
	}
	// Those that are still to be published are not counted.
	if s.Ready > counts[connectivity.Ready] || s.Ready == 0 && want == connectivity.Ready || s.Failed != counts[connectivity.TransientFailure] || s.Total != len(h.model) {
		rt.Fatalf("status = %+v, want %v of %d", s, counts, len(h.model))
	}
}

// settle ends the window: no call may wait any longer, and every READY endpoint is picked.
func (h *history) settle(rt *rapid.T) {
	h.time.fire()
	if h.closed {
		return
	}
	for _, seq := range h.waiting {
		if seq >= h.seq {
			rt.Fatalf("a call waits for a picker after number %d; there are %d", seq, h.seq)
		}
	}
	h.waiting = nil
	ready := make(map[balancer.SubConn]bool)
	for sc, m := range h.model {
		if m.state == connectivity.Ready {
			ready[sc] = true
		}
	}
	picked := make(map[balancer.SubConn]bool)
	for range 40 * len(ready) {
		res, err := h.cc.last().Picker.Pick(balancer.PickInfo{})
		if err != nil {
			rt.Fatalf("pick: %v with %d READY", err, len(ready))
		}
		picked[res.SubConn] = true
		if res.Done != nil {
			res.Done(balancer.DoneInfo{})
		}
	}
	for sc := range ready {
		if !picked[sc] && len(h.running) == 0 {
			rt.Fatalf("%v is never picked", sc)
		}
	}
}

func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		defer h.finish(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				h.rt = rt
				list := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 7).Draw(rt, "list")
				if h.closed {
					rt.Skip("closed")
				}
				h.listed = list
				h.update()
			},
			"transport":       func(rt *rapid.T) { h.rt = rt; h.transport(rt) },
			"transport again": func(rt *rapid.T) { h.rt = rt; h.transport(rt) }, // more often than the rest
			"exit":            func(rt *rapid.T) { h.rt = rt; h.exit(rt) },
			"exit again":      func(rt *rapid.T) { h.rt = rt; h.exit(rt) },
			"bring up":        func(rt *rapid.T) { h.rt = rt; h.bringUp(rt) },
			"settle again":    func(rt *rapid.T) { h.rt = rt; h.settle(rt) },
			"health":          func(rt *rapid.T) { h.rt = rt; h.healthCheck(rt) },
			"toggle":          func(rt *rapid.T) { h.rt = rt; h.toggleHealth(rt) },
			"switch":          func(rt *rapid.T) { h.rt = rt; h.switchPicker(rt) },
			"idle":            func(rt *rapid.T) { h.rt = rt; h.idle(rt) },
			"settle":          func(rt *rapid.T) { h.rt = rt; h.settle(rt) },
			"call":            func(rt *rapid.T) { h.rt = rt; h.call() },
			"end a call": func(rt *rapid.T) {
				if len(h.running) == 0 {
					rt.Skip("none runs")
				}
				i := rapid.IntRange(0, len(h.running)-1).Draw(rt, "call")
				h.running[i](balancer.DoneInfo{})
				h.running = slices.Delete(h.running, i, i+1)
			},
			"resolver error": func(rt *rapid.T) {
				h.rt = rt
				if !h.closed && h.ch.Status().Updated {
					h.lb.ResolverError(errors.New("no such host"))
				}
			},
			"": func(rt *rapid.T) { h.rt = rt; h.check(rt) },
		})
	})
}

// finish ends all calls: nothing is in flight any longer, also at endpoints that are gone.
func (h *history) finish(rt *rapid.T) {
	for _, done := range h.running {
		done(balancer.DoneInfo{})
	}
	h.running = nil
	for e := range h.pickers {
		if n := e.load.inFlight(); n != 0 {
			rt.Fatalf("%d calls in flight at %s", n, e.ID())
		}
	}
	h.settle(rt)
	if !h.closed {
		h.lb.Close()
	}
	if h.time.open() != 0 {
		rt.Fatal("Close left a timer")
	}
}
