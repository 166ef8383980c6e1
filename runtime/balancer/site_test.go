package balancer

import (
	"context"
	"math"
	"slices"
	"testing"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// site is an endpoint with what discovery says of it.
type site struct {
	addr     string
	second   string // address; "": it has one
	zone     string
	priority uint32
	weight   uint32 // 0: 1
}

// once is a source that never changes.
type once struct {
	list []site
	told bool
}

func (o *once) Watch() discovery.Watcher { return o }
func (o *once) Refresh()                 {}
func (o *once) Close()                   {}

func (o *once) Next(ctx context.Context) (discovery.Event, error) {
	if o.told {
		<-ctx.Done()
		return discovery.Event{}, ctx.Err()
	}
	o.told = true
	event := discovery.Event{Revision: 1, Reset: true}
	for _, s := range o.list {
		addrs := []string{s.addr}
		if s.second != "" {
			addrs = append(addrs, s.second)
		}
		event.Put = append(event.Put, discovery.Entry{Key: s.addr, Endpoint: discovery.Endpoint{
			Addresses: addrs, Zone: s.zone, Priority: s.priority, Weight: max(1, s.weight),
		}})
	}
	return event, nil
}

// states hands over the first state of a resolver.
type states struct {
	resolver.ClientConn
	first chan resolver.State
}

func (s states) UpdateState(state resolver.State) error { s.first <- state; return nil }
func (s states) ReportError(error)                      {}

// siteState returns what discovery's resolver makes of a list.
func siteState(t testing.TB, list []site) resolver.State {
	t.Helper()
	cc := states{first: make(chan resolver.State, 1)}
	src := &once{list: list}
	res, err := discovery.FromSource(src).Build(resolver.Target{}, cc, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	state := <-cc.first
	res.Close()
	return state
}

// sites pushes a list, as discovery would.
func (r *rig) sites(list ...site) {
	r.t.Helper()
	r.must(r.push(siteState(r.t, list)))
}

// wantPicks checks which share of the picks goes to each address, to a few percent.
func (r *rig) wantPicks(want map[string]float64) {
	r.t.Helper()
	const n = 20_000
	got := r.picks(n)
	for addr, k := range got {
		if want[addr] == 0 {
			r.t.Errorf("%s gets %d of %d picks, want none", addr, k, n)
		}
	}
	for addr, share := range want {
		if off := math.Abs(float64(got[addr])/n - share); off > 5*math.Sqrt(share*(1-share)/n)+1e-3 {
			r.t.Errorf("%s gets %.3f of the picks, want %.3f", addr, float64(got[addr])/n, share)
		}
	}
}

// wantKept checks that none of the SubConns was shut down.
func (r *rig) wantKept(before []*fakeSubConn) {
	r.t.Helper()
	live := r.cc.live()
	for _, sc := range before {
		if !slices.Contains(live, sc) {
			r.t.Errorf("%v was shut down", sc)
		}
	}
}
