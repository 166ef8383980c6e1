package hedge_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Over real connections times are five times as long as in virtual time, or ten: what the machine adds to a call is then little.
const (
	loopbackScale  = 5
	loopbackWarmUp = time.Second
)

// loopback is servers that listen. Their work is to wait.
type loopback struct {
	servers servers
	seed    uint64
	start   time.Time
	calls   atomic.Uint64
	addrs   []string
}

// backend is one of them.
type backend struct {
	plainv1.UnimplementedPlainServiceServer
	number int
	of     *loopback
}

// loopbackGoal is what may be left of the tail, in tenths: these runs are short, in real time, on a machine that others use. What
// hedging does by itself is held in virtual time.
const loopbackGoal = 5

// GetItem implements [plainv1.PlainServiceServer].
func (b *backend) GetItem(ctx context.Context, in *plainv1.GetItemRequest) (*plainv1.GetItemResponse, error) {
	draw := rand.New(rand.NewPCG(b.of.seed, b.of.calls.Add(1)))
	work := time.NewTimer(b.of.servers.work(b.number, time.Since(b.of.start), draw))
	defer work.Stop()
	select {
	case <-work.C:
		return &plainv1.GetItemResponse{ItemId: in.GetItemId()}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// listen starts the servers, which end with the test.
func listen(t *testing.T, s servers, seed uint64) *loopback {
	l := &loopback{servers: s, seed: seed, start: time.Now()}
	for i := range s.count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, served := grpc.NewServer(), make(chan error, 1)
		plainv1.RegisterPlainServiceServer(server, &backend{number: i, of: l})
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() {
			server.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		l.addrs = append(l.addrs, listener.Addr().String())
	}
	return l
}

// together has all contenders make their calls in the same seconds, so that they have the same neighbours on the machine.
func (l *loopback) together(t *testing.T, contenders []contender, calls func(*caller)) []row {
	callers := make([]*caller, len(contenders))
	for i, c := range contenders {
		balanced := goresilient.WithPolicy(&policy.Service{LoadBalancing: c.balancing})
		callers[i] = newCaller(t, c.hedging, balanced, goresilient.WithBlock(), goresilient.WithInsecure(),
			goresilient.WithTarget("static:///"+strings.Join(l.addrs, ",")))
	}
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() { calls(c) })
	}
	all.Wait()
	var rows []row
	for i, c := range contenders {
		rows = append(rows, row{contender: c, result: &callers[i].result})
		rows[i].mustSucceed(t)
	}
	return rows
}

// alongside has short tests over real connections share their seconds; at length each has the machine to itself.
func alongside(t *testing.T) {
	if *page == "" {
		t.Parallel()
	}
}

// TestLoopbackKeys is TestKeys over real connections, with fewer servers that stall more often. Its gate: the 90th percentile of
// reading all keys falls to a half at least.
func TestLoopbackKeys(t *testing.T) {
	const (
		number = 20
		keys   = 25
		every  = 125 * time.Millisecond
		warmUp = int(loopbackWarmUp / every)
	)
	alongside(t)
	length := atLength(5*time.Second, 150*time.Second)
	stalled := make([]stalls, number)
	for i := range 3 { // in a short run, one server after the other
		begins := time.Duration(2*i+4) * time.Second / 2
		stalled[i] = stalls{{begins, begins + 800*time.Millisecond}}
	}
	contenders := []contender{unhedged(byKey()), byDefault(byKey())}
	if *page != "" {
		stalled = stallsOf(number, length, 300*time.Second, time.Second, 1)
		contenders = append(contenders, after(loopbackScale*keyDelay, byKey()))
	}
	all := listen(t, stalling(stalled, loopbackScale), 1)
	rows := all.together(t, contenders, func(c *caller) { c.batches(int(length/every), warmUp, keys, every) })
	before := quantile(rows[0].wholes(), 0.9)
	for _, r := range rows[1:] {
		r.gateExtra(t)
		if got := quantile(r.wholes(), 0.9); got > before*loopbackGoal/10 && *page == "" {
			t.Errorf("%s: p90 of all keys is %s, without hedging %s; the goal is %d tenths", r.name, ms(got), ms(before), loopbackGoal)
		}
	}
	publish(t, "loopback-keys", keyTable(rows))
}

// TestLoopbackSlow is TestSlow over real connections, at a rate that leaves as many calls in flight. Its gate: at most half as many
// calls take longer than a slow server does on average.
func TestLoopbackSlow(t *testing.T) {
	alongside(t)
	const scale = 2 * loopbackScale
	all := listen(t, sluggish(exponential, scale*slowMean), 1)
	length := atLength(8*time.Second, 150*time.Second)
	contenders := []contender{unhedged(leastRequest()), byDefault(leastRequest())}
	if *page != "" {
		contenders = append(contenders, after(scale*40*time.Millisecond, leastRequest()), moreHedged(leastRequest()))
	}
	rows := all.together(t, contenders, func(c *caller) { c.arrivals(length, loopbackWarmUp, slowRate/scale, "", 1) })
	for _, r := range rows[1:] {
		r.gateExtra(t)
		if got, before := r.longer(scale*slowFactor*slowMean), rows[0].longer(scale*slowFactor*slowMean); got > before*loopbackGoal/10 {
			t.Errorf("%s: %d calls took more than a second, without hedging %d; the goal is %d tenths", r.name, got, before, loopbackGoal)
		}
	}
	publish(t, "loopback-slow", slowTable(rows))
}

// longer returns how many calls took longer than d.
func (r row) longer(d time.Duration) int {
	n := 0
	for _, o := range r.calls {
		if o.took > d {
			n++
		}
	}
	return n
}
