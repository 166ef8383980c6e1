package balancer

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// everythingConfig has all on that looks at endpoints.
func everythingConfig() Config {
	s := policy.Complete(&policy.Service{
		LoadBalancing: &policy.LoadBalancing{
			LeastRequest: &policy.LeastRequest{},
			ZoneAware:    &policy.ZoneAware{},
			SlowStart:    &policy.SlowStart{},
			SubsetSize:   policy.Set(2),
		},
		OutlierDetection: &policy.OutlierDetection{},
	})
	return Config{LoadBalancing: s.LoadBalancing, OutlierDetection: s.OutlierDetection, Zone: "here"}
}

// Real connections: no call fails while the servers of one priority leave with GOAWAY and come back, and calls come back.
func TestFailoverOfServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, everythingConfig())
		defer c.conn.Close()
		list := []site{{addr: "a", zone: "here"}, {addr: "b", zone: "there"}, {addr: "x", priority: 1}, {addr: "y", priority: 1}}
		servers := map[string]*server{}
		for _, s := range list {
			servers[s.addr] = c.serve(s.addr)
			defer func() { servers[s.addr].Stop() }()
		}
		c.conn.Connect()
		c.push(siteState(t, list))
		c.awaitReady(2)
		if got := c.servers(10); got["a"] != 10 {
			t.Errorf("answers = %v, want those of the zone", got)
		}
		var calls sync.WaitGroup
		stop := make(chan struct{})
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := c.call(); err != nil {
						t.Errorf("call: %v", err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
		for _, addr := range []string{"a", "b"} {
			c.gone(addr)
			servers[addr].GracefulStop()
		}
		c.await("failover", func(s Status) bool { return s.Total == 4 && s.Ready == 2 })
		time.Sleep(time.Second)
		if got := c.servers(100); got["x"]+got["y"] != 100 {
			t.Errorf("answers = %v, want those of the next priority", got)
		}
		servers["a"], servers["b"] = c.serve("a"), c.serve("b")
		c.awaitReady(4)
		time.Sleep(6 * time.Second)
		if got := c.servers(10); got["a"] != 10 {
			t.Errorf("answers = %v after they came back", got)
		}
		close(stop)
		calls.Wait()
		time.Sleep(16 * time.Minute)
		c.await("retention", func(s Status) bool { return s.Total == 2 })
	})
}

// A policy that works for the pool's channel never sees a SubConn that is not grpc's own, and neither does grpc.
func TestSubConnsAreNotWrapped(t *testing.T) {
	several := stateOf("a")
	several.Endpoints[0].Addresses = append(several.Endpoints[0].Addresses, stateOf("b").Endpoints[0].Addresses...)
	for _, cfg := range []Config{roundRobinConfig(), pickFirstConfig(), customConfig("round_robin", "{}"), everythingConfig()} {
		r := newRig(t, cfg)
		r.must(r.push(several))
		bringUp(r.cc)
		r.time.fire()
		if addr, err := r.pick(); err != nil || addr == "" { // it asserts the type
			t.Errorf("%s: pick = %q, %v", cfg.arm(), addr, err)
		}
		r.lb.Close()
	}
}

// Switching among all pickers of the pool, with everything on, touches no connection and forgets nothing.
func TestSwitchWithEverythingOn(t *testing.T) {
	r := newRig(t, everythingConfig())
	list := []site{{addr: "a", zone: "here"}, {addr: "b"}, {addr: "x", priority: 1}}
	r.sites(list...)
	r.becomes(connectivity.Ready, "a", "b")
	r.time.fire()
	for r.ch.Status().Ejected == 0 {
		r.traffic(5, "a")
		r.time.fire()
	}
	before, status := r.cc.live(), r.ch.Endpoints()
	for _, arm := range []policy.LoadBalancing{
		{RoundRobin: &policy.RoundRobin{}},
		{PeakEwma: &policy.PeakEwma{}},
		{Adaptive: &policy.Adaptive{}},
		{ConsistentHash: &policy.ConsistentHash{}},
		{WeightedRoundRobin: &policy.WeightedRoundRobin{}},
		{LeastRequest: &policy.LeastRequest{}},
	} {
		cfg := everythingConfig()
		arm.ZoneAware, arm.SlowStart, arm.SubsetSize = cfg.LoadBalancing.ZoneAware, cfg.LoadBalancing.SlowStart, cfg.LoadBalancing.SubsetSize
		cfg.LoadBalancing = policy.Complete(&policy.Service{LoadBalancing: &arm}).LoadBalancing
		r.must(ValidateConfig(cfg))
		r.ch.Configure(cfg)
		r.sites(list...)
		r.time.fire()
		if !slices.Equal(before, r.cc.live()) {
			t.Errorf("%s replaces SubConns", cfg.arm())
		}
		for i, e := range r.ch.Endpoints() {
			if e.Ejected != status[i].Ejected || e.State != status[i].State || e.Attempts != status[i].Attempts {
				t.Errorf("%s: %+v, want %+v", cfg.arm(), e, status[i])
			}
		}
		r.wantPicks(map[string]float64{"b": 1})
	}
	r.lb.Close()
	r.time.fire()
	if r.time.open() != 0 {
		t.Error("Close left a timer")
	}
}
