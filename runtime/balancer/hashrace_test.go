package balancer

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// Picks go on while endpoints come and go, weights change, and old pickers are still in use: each leads somewhere,
// and all that is counted comes to nothing in the end.
func TestPicksWhileAllChanges(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"consistent_hash", consistentHashConfig(1.25)},
		{"weighted_round_robin", weightedConfig(time.Second)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := addresses(40)
			r := hashRig(t, tt.cfg, all...)
			report := fine
			report.ServerLoad = orcaReport(t, 100, 0.5)
			stop := make(chan struct{})
			var callers sync.WaitGroup
			for range 4 {
				callers.Go(func() {
					p := r.cc.last().Picker
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						if i%50 == 0 { // now and then one that is out of date
							p = r.cc.last().Picker
						}
						ctx := r.ch.withKey(rand.Uint64())
						for range 2 {
							res, err := p.Pick(balancer.PickInfo{Ctx: ctx})
							if err != nil || res.SubConn == nil {
								t.Errorf("a pick led nowhere: %v", err)
								return
							}
							res.Done(report)
							ctx = ctx.next()
						}
					}
				})
			}
			for step := range 200 {
				conns := r.cc.live()
				sc := conns[step%len(conns)]
				for _, s := range []connectivity.State{connectivity.Idle, connectivity.Connecting, connectivity.Ready} {
					sc.becomes(s)
				}
				if step%10 == 0 {
					r.must(r.resolve(slices.Delete(slices.Clone(all), step%40, step%40+1)...))
				}
				r.time.advance(time.Second)
			}
			close(stop)
			callers.Wait()
			for _, e := range r.ch.list {
				if n := e.load.inFlight(); n != 0 {
					t.Errorf("%s has %d calls after the last has ended", e.name, n)
				}
			}
			if total := r.ch.total.Load(); total != nil && total.sum() != 0 {
				t.Errorf("%d calls run after the last has ended", total.sum())
			}
		})
	}
}
