package balancer

import (
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// A connection may report in the very moment in which failover gives it up, before the timer for that gets its turn: what it
// reports is then the last thing that it does.
func TestReportWhenGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		second string // address
		health bool
		from   connectivity.State
		last   connectivity.State
	}{
		{"connected", "", false, connectivity.Connecting, connectivity.Ready},
		{"connected after a failure, with health checks", "", true, connectivity.TransientFailure, connectivity.Ready},
		{"lost", "", false, connectivity.Ready, connectivity.Idle},
		{"lost and connecting", "", false, connectivity.Ready, connectivity.Connecting},
		{"lost and failed", "", false, connectivity.Ready, connectivity.TransientFailure},
		{"two addresses, connected", "y", false, connectivity.Connecting, connectivity.Ready},
		{"two addresses, connected after a failure, with health checks", "y", true, connectivity.TransientFailure, connectivity.Ready},
		{"two addresses, lost", "y", false, connectivity.Ready, connectivity.Idle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := roundRobinConfig()
			cfg.LoadBalancing.Failover = &policy.Failover{Retention: policy.Set(time.Minute), FailbackDelay: policy.Set(time.Duration(0))}
			if tt.health {
				cfg.HealthService = policy.Set("")
			}
			r := newRig(t, cfg)
			r.sites(site{addr: "a"}, site{addr: "x", second: tt.second, priority: 1})
			a := r.cc.at(t, "a")
			a.becomes(connectivity.Connecting)
			a.fails(errRefused)
			r.lb.ExitIdle() // who has several addresses has begun to connect then
			x := r.cc.at(t, "x")
			x.becomes(connectivity.Connecting)
			switch tt.from {
			case connectivity.Ready:
				x.becomes(connectivity.Ready)
			case connectivity.TransientFailure:
				x.fails(errRefused)
				if tt.second != "" {
					y := r.cc.at(t, tt.second)
					y.becomes(connectivity.Connecting)
					y.fails(errRefused)
				}
				x.becomes(connectivity.Idle)
				x.becomes(connectivity.Connecting)
			}
			a.becomes(connectivity.Idle)
			a.becomes(connectivity.Connecting)
			a.becomes(connectivity.Ready)
			if tt.health {
				a.healthy(connectivity.Ready, nil)
			}
			r.time.fire()
			r.time.mu.Lock()
			r.time.time += time.Minute // and no timer gets its turn
			r.time.mu.Unlock()
			x.reports(balancer.SubConnState{ConnectivityState: tt.last, ConnectionError: errRefused})
			if got := connected(r.cc); len(got) != 1 || got[0] != "a" {
				t.Errorf("connected to %v, want a alone", got)
			}
			r.time.fire()
			r.wantPicks(map[string]float64{"a": 1})
			r.lb.Close()
			if r.time.fire(); r.time.open() != 0 {
				t.Error("Close left a timer")
			}
		})
	}
}
