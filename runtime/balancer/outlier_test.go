package balancer

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/policy"
)

// detecting returns round_robin with outlier detection as o says, completed.
func detecting(o policy.OutlierDetection) Config {
	cfg := roundRobinConfig()
	cfg.OutlierDetection = policy.Complete(&policy.Service{OutlierDetection: &o}).OutlierDetection
	return cfg
}

var errUnavailable = status.Error(codes.Unavailable, "overloaded")

// traffic makes n calls one after the other; those to the failing ones end with UNAVAILABLE.
func (r *rig) traffic(n int, failing ...string) {
	r.t.Helper()
	for range n {
		res, err := r.cc.last().Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		r.must(err)
		info := balancer.DoneInfo{BytesSent: true, BytesReceived: true}
		for _, addr := range failing {
			if res.SubConn.(*fakeSubConn).addrs[0].Addr == addr {
				info.Err = errUnavailable
			}
		}
		if res.Done != nil {
			res.Done(info)
		}
	}
}

func (r *rig) wantEjected(want ...string) {
	r.t.Helper()
	var got []string
	for _, e := range r.ch.Endpoints() {
		if e.Ejected {
			got = append(got, e.Endpoint.ID())
		}
		if e.Ejected && e.OutlierReason == "" {
			r.t.Errorf("%s is ejected without a reason", e.Endpoint.ID())
		}
	}
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		r.t.Errorf("ejected are %v, want %v", got, want)
	}
	if s := r.ch.Status(); s.Ejected != len(want) {
		r.t.Errorf("Status().Ejected = %d, want %d", s.Ejected, len(want))
	}
}

func TestConsecutiveFailures(t *testing.T) {
	r := newRig(t, detecting(policy.OutlierDetection{}))
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	before := r.cc.live()
	r.traffic(12, "b") // fewer than five failures in a row
	r.time.fire()
	r.wantEjected()
	r.traffic(15, "b")
	r.time.fire()
	r.wantEjected("b")
	r.wantPicks(map[string]float64{"a": .5, "c": .5})
	r.wantKept(before)
	if got := r.ch.Status(); got.Ready != 3 {
		t.Errorf("Ready = %d, want 3: an ejected endpoint stays connected", got.Ready)
	}

	r.lb.Close() // idle: the ejection is the endpoint's
	r.build()
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	r.wantEjected("b")
	r.ch.Configure(Config{LoadBalancing: leastRequestConfig(2).LoadBalancing, OutlierDetection: detecting(policy.OutlierDetection{}).OutlierDetection})
	r.must(r.resolve("a", "b", "c"))
	r.wantEjected("b")

	r.time.advance(40 * time.Second) // base_ejection_time, and the sweep after that
	r.wantEjected()
	r.time.advance(30 * time.Second)
	r.wantEjected() // what has led to the ejection is paid for
	r.ch.Configure(detecting(policy.OutlierDetection{}))
	r.must(r.resolve("a", "b", "c"))
	r.traffic(15, "b")
	r.time.fire()
	r.wantEjected("b")
	r.ch.Configure(roundRobinConfig())
	r.must(r.resolve("a", "b", "c"))
	r.wantEjected()
	if r.time.fire(); r.time.open() != 0 {
		t.Error("a timer runs although detection is off")
	}
	r.wantPicks(map[string]float64{"a": 1 / 3., "b": 1 / 3., "c": 1 / 3.})
}

func TestFailureRatioAndObserve(t *testing.T) {
	o := policy.OutlierDetection{ConsecutiveFailures: policy.Set(0), FailureRatio: policy.Set(.5), MinimumCalls: policy.Set(10),
		MaxEjectedRatio: policy.Set(1.), Observe: policy.Set(true)}
	r := newRig(t, detecting(o))
	r.must(r.resolve("a", "b", "c", "d"))
	bringUp(r.cc)
	r.time.fire()
	r.traffic(100, "a", "b")
	r.time.advance(10 * time.Second)
	r.wantEjected()
	for _, e := range r.ch.Endpoints()[:2] {
		if e.OutlierReason != "failure_ratio" {
			t.Errorf("%s: the reason that is observed is %q", e.Endpoint.ID(), e.OutlierReason)
		}
	}
	o.Observe = policy.Set(false)
	r.ch.Configure(detecting(o))
	r.must(r.resolve("a", "b", "c", "d"))
	r.wantEjected("a", "b")
	r.wantPicks(map[string]float64{"c": .5, "d": .5})
}

// Once too few are eligible all READY ones are, ejected ones too; never if panic_ratio is 0.
func TestPanic(t *testing.T) {
	o := policy.OutlierDetection{ConsecutiveFailures: policy.Set(0), FailureRatio: policy.Set(.5), MinimumCalls: policy.Set(10),
		MaxEjectedRatio: policy.Set(1.)}
	r := newRig(t, detecting(o))
	r.must(r.resolve("a", "b", "c", "d"))
	bringUp(r.cc)
	r.time.fire()
	r.traffic(100, "a", "b", "c")
	r.time.advance(10*time.Second + window)
	r.wantEjected("a", "b", "c")
	r.wantPicks(map[string]float64{"a": .25, "b": .25, "c": .25, "d": .25})

	cfg := detecting(o)
	cfg.LoadBalancing.PanicRatio = policy.Set(0.)
	r.ch.Configure(cfg)
	r.must(r.resolve("a", "b", "c", "d"))
	r.wantPicks(map[string]float64{"d": 1})
	r.becomes(connectivity.TransientFailure, "d")
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("none of 4 endpoints takes calls", "d: connection refused")
	r.must(r.resolve("a", "b", "c"))
	r.wantPickError("outlier detection has ejected 3", "panic_ratio")
	r.time.advance(30 * time.Second)
	r.wantState(connectivity.Ready)
}

// While a worse priority is well there is no panic.
func TestPanicAndPriorities(t *testing.T) {
	o := policy.OutlierDetection{ConsecutiveFailures: policy.Set(0), FailureRatio: policy.Set(.5), MinimumCalls: policy.Set(10),
		MaxEjectedRatio: policy.Set(1.)}
	cfg := detecting(o)
	r := newRig(t, cfg)
	list := append(twoPriorities(), site{addr: "c"})
	r.sites(list...)
	r.becomes(connectivity.Ready, "a", "b", "c")
	r.time.fire()
	r.traffic(100, "a", "b")
	r.time.advance(10*time.Second + window)
	r.wantEjected("a", "b")
	r.wantConnected("a", "b", "c", "x", "y")
	r.wantPicks(map[string]float64{"a": 1 / 3., "b": 1 / 3., "c": 1 / 3.})
	r.becomes(connectivity.Ready, "x", "y")
	r.time.fire()
	r.wantPicks(map[string]float64{"c": 1 / 2.1, "x": (1 - 1/2.1) / 2, "y": (1 - 1/2.1) / 2})
}

func TestProbation(t *testing.T) {
	o := policy.OutlierDetection{ConsecutiveFailures: policy.Set(0), LatencyFactor: policy.Set(3.), MinimumCalls: policy.Set(5),
		MinimumEndpoints: policy.Set(2), MaxEjectedRatio: policy.Set(1.)}
	r := newRig(t, detecting(o))
	r.must(r.resolve("a", "b", "c"))
	bringUp(r.cc)
	r.time.fire()
	for range 2 { // verdicts
		var ends []func()
		for range 60 {
			res, err := r.cc.last().Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
			r.must(err)
			end := func() { res.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true}) }
			if res.SubConn.(*fakeSubConn).addrs[0].Addr == "b" {
				ends = append(ends, end)
				continue
			}
			r.time.advance(time.Millisecond)
			end()
		}
		r.time.advance(time.Second)
		for _, end := range ends {
			end()
		}
		r.time.advance(10 * time.Second)
	}
	b := r.ch.Endpoints()[1]
	if !b.Probation || b.Ejected || b.OutlierReason != "latency_factor" || b.Share != probationShare {
		t.Errorf("status of the slow endpoint = %+v", b)
	}
	r.time.fire()
	rest := 1 / (2 + probationShare)
	r.wantPicks(map[string]float64{"a": rest, "b": probationShare * rest, "c": rest})
}
