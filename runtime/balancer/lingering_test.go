package balancer

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/policy"
)

// attempting is an attempt in flight.
type attempting struct {
	rec   *attempt.Record
	e     *endpoint
	began time.Duration
	done  func(balancer.DoneInfo)
}

// attempt picks for an attempt that has a record.
func (r *rig) attempt() attempting {
	r.t.Helper()
	rec := &attempt.Record{Channel: r.ch.Identity()}
	res, err := r.cc.last().Picker.Pick(balancer.PickInfo{Ctx: context.WithValue(r.t.Context(), attempt.Key{}, rec)})
	if err != nil {
		r.t.Fatal(err)
	}
	return attempting{rec, rec.Endpoint().(*endpoint), time.Duration(r.time.now()), res.Done}
}

// loses ends the attempt as a race does, and returns how long it has run.
func (a attempting) loses(r *rig) time.Duration {
	ran := time.Duration(r.time.now()) - a.began
	a.rec.Supersede(ran)
	a.done(cancelled)
	return ran
}

// recording is a rig of READY endpoints whose attempts have records.
func recording(t testing.TB, cfg Config, addrs ...string) *rig {
	r := newRig(t, cfg)
	r.ch.Record(true)
	r.must(r.resolve(addrs...))
	bringUp(r.cc)
	r.time.fire()
	return r
}

// timedConfig has each call timed, and not by what it is chosen by.
func timedConfig() Config {
	cfg := leastRequestConfig(2)
	cfg.OutlierDetection = &policy.OutlierDetection{LatencyFactor: policy.Set(3.0)}
	return cfg
}

func TestWhatLingers(t *testing.T) {
	ends := func(code codes.Code, sent bool) balancer.DoneInfo {
		return balancer.DoneInfo{Err: status.Error(code, ""), BytesSent: sent}
	}
	for _, tt := range []struct {
		name       string
		cfg        Config
		superseded bool
		info       balancer.DoneInfo
		want       int64
	}{
		{"it has lost", leastRequestConfig(2), true, cancelled, 1},
		{"timed", timedConfig(), true, cancelled, 1},
		{"peak_ewma", peakEwmaConfig(time.Second), true, cancelled, 1},
		{"adaptive", adaptiveConfig(), true, cancelled, 1},
		{"consistent_hash", consistentHashConfig(1.25), true, cancelled, 1},
		{"round_robin does not compare", roundRobinConfig(), true, cancelled, 0},
		{"the caller has cancelled", leastRequestConfig(2), false, cancelled, 0},
		{"it has succeeded at the last moment", leastRequestConfig(2), true, succeeded, 0},
		{"it has failed at the last moment", leastRequestConfig(2), true, ends(codes.Unavailable, true), 0},
		{"it had not reached the server", leastRequestConfig(2), true, ends(codes.Canceled, false), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := recording(t, tt.cfg, "a", "b")
			defer r.lb.Close()
			a := r.attempt()
			r.time.advance(40 * time.Millisecond)
			if tt.superseded {
				a.rec.Supersede(40 * time.Millisecond)
			}
			a.done(tt.info)
			if got := a.e.load.inFlight(); got != tt.want {
				t.Errorf("%d are counted, want %d", got, tt.want)
			}
			for _, s := range r.ch.Endpoints() {
				if s.InFlight != 0 {
					t.Errorf("status: %d run at %s", s.InFlight, s.Endpoint.ID())
				}
			}
			if _, age := a.e.load.state(r.time.now()); age != 0 {
				t.Errorf("what lingers is %v old", time.Duration(age))
			}
			r.time.advance(lingerFactor*40*time.Millisecond - 1)
			if got := a.e.load.inFlight(); got != tt.want {
				t.Errorf("%d are counted a moment before the end, want %d", got, tt.want)
			}
			r.time.advance(1)
			if got := a.e.load.inFlight(); got != 0 {
				t.Errorf("%d are counted after the end", got)
			}
		})
	}
}

// The next call goes elsewhere, as it would if the attempt still ran.
func TestLingeringKeepsCallsAway(t *testing.T) {
	r := recording(t, leastRequestConfig(2), "a", "b")
	defer r.lb.Close()
	a := r.attempt()
	r.time.advance(time.Second)
	a.loses(r)
	for range 20 {
		if b := r.attempt(); b.e == a.e {
			t.Fatalf("a call goes to %s, where one lingers", a.e.name)
		} else {
			b.done(succeeded)
		}
	}
}

func TestNothingLingersForLong(t *testing.T) {
	r := recording(t, leastRequestConfig(2), "a", "b")
	defer r.lb.Close()
	a := r.attempt()
	r.time.advance(time.Hour)
	a.loses(r)
	r.time.advance(maxLinger)
	if got := a.e.load.inFlight(); got != 0 {
		t.Errorf("%d are counted after %v", got, maxLinger)
	}
}

// aftermath is attempts that run and that linger, beside a naive model.
type aftermath struct {
	*rig
	closed    bool
	running   []attempting
	lingering []time.Duration // until when, each at its endpoint in owners
	owners    []*endpoint
	seen      map[*endpoint]bool
}

func (h *aftermath) check(rt *rapid.T) {
	want, sum := make(map[*endpoint]int64), int64(0)
	for _, a := range h.running {
		want[a.e]++
		sum++
	}
	now := time.Duration(h.time.now())
	for i, until := range h.lingering {
		if until > now && !h.closed {
			want[h.owners[i]]++
			sum++
		}
	}
	for e := range h.seen {
		if got := e.load.inFlight(); got != want[e] {
			rt.Fatalf("%d are counted at %s, want %d", got, e.name, want[e])
		}
	}
	if total := h.ch.total.Load(); total != nil && total.sum() != sum {
		rt.Fatalf("%d are counted in all, want %d", total.sum(), sum)
	}
}

// Whatever happens to the endpoints and the balancer meanwhile, all counts are exact, and nothing is left.
func TestLingeringLeavesNothing(t *testing.T) {
	configs := []Config{leastRequestConfig(2), timedConfig(), adaptiveConfig(), consistentHashConfig(1.25)}
	rapid.Check(t, func(rt *rapid.T) {
		cfg := rapid.SampledFrom(configs).Draw(rt, "policy")
		h := &aftermath{rig: recording(t, cfg, "a", "b", "c"), seen: make(map[*endpoint]bool)}
		rt.Repeat(map[string]func(*rapid.T){
			"pick": func(rt *rapid.T) {
				if h.closed {
					rt.Skip("closed")
				}
				a := h.attempt()
				h.seen[a.e] = true
				h.running = append(h.running, a)
			},
			"end": func(rt *rapid.T) {
				if len(h.running) == 0 {
					rt.Skip("none runs")
				}
				i := rapid.IntRange(0, len(h.running)-1).Draw(rt, "which")
				a := h.running[i]
				h.running = slices.Delete(h.running, i, i+1)
				if rapid.Bool().Draw(rt, "succeeds") {
					a.done(succeeded)
					return
				}
				ran := max(a.loses(h.rig), time.Microsecond)
				if !h.closed {
					h.lingering = append(h.lingering, time.Duration(h.time.now())+min(lingerFactor*ran, maxLinger))
					h.owners = append(h.owners, a.e)
				}
			},
			"advance": func(rt *rapid.T) {
				h.time.advance(time.Duration(rapid.IntRange(1, 5000).Draw(rt, "ms")) * time.Millisecond)
			},
			"update": func(rt *rapid.T) {
				if h.closed {
					rt.Skip("closed")
				}
				h.must(h.resolve(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 4, rapid.ID[string]).Draw(rt, "list")...))
				bringUp(h.cc)
				h.time.fire()
			},
			"close or open": func(rt *rapid.T) {
				if h.closed = !h.closed; h.closed {
					h.lb.Close()
					h.lingering, h.owners = nil, nil
					if n := h.time.open(); n != 0 {
						rt.Fatalf("Close left %d timers", n)
					}
					return
				}
				h.build()
				h.must(h.resolve("a", "b", "c"))
				bringUp(h.cc)
				h.time.fire()
			},
			"": h.check,
		})
		for _, a := range h.running {
			a.loses(h.rig)
		}
		h.running = nil
		h.time.advance(maxLinger)
		h.check(rt)
		if !h.closed {
			h.lb.Close()
		}
	})
}

// Attempts that end while the balancer closes either linger and are ended, or do not linger.
func TestLingeringWhileClosing(t *testing.T) {
	r := newRig(t, timedConfig())
	r.ch = NewChannel(timedConfig(), Options{}) // with a clock and timers of its own
	r.ch.Record(true)
	r.must(r.resolve("a", "b"))
	bringUp(r.cc)
	r.time.fire()
	seen := make(chan *endpoint, 1000)
	var ending sync.WaitGroup
	for range 10 {
		attempts := make([]attempting, 100)
		for i := range attempts {
			attempts[i] = r.attempt()
		}
		ending.Go(func() {
			for i, a := range attempts {
				a.rec.Supersede(time.Duration(i) * 10 * time.Microsecond)
				a.done(cancelled)
				r.ch.Endpoints()
				seen <- a.e
			}
		})
	}
	r.lb.Close()
	ending.Wait()
	close(seen)
	for e := range seen {
		if n := e.load.inFlight(); n != 0 {
			t.Fatalf("%d are counted at %s after Close", n, e.name)
		}
	}
}
