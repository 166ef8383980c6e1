package goresilient_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// TestStormAtFullSpeed has many clients call without a pause while documents and endpoints change. No call may fail, each
// change must show in the calls, and at the end nothing may be left of it.
func TestStormAtFullSpeed(t *testing.T) {
	s := newStorm(t, func(server *testServer) string { return serve(t, server) }, goresilient.WithoutProxy())
	s.rage(4, 4, 0, time.Minute) // what is made once is made
	before := settledUsage()
	s.rage(20, 5, 0, time.Minute)
	after := settledUsage()
	t.Logf("%d calls; heap %d kB, then %d kB; %d goroutines, then %d", s.calls(), before.heap>>10, after.heap>>10, before.goroutines, after.goroutines)
	for deadline := time.Now().Add(time.Minute); after.exceeds(before); after = settledUsage() {
		if time.Now().After(deadline) {
			t.Fatalf("the storm has left something: heap %d kB, %d before it; %d goroutines, %d before it",
				after.heap>>10, before.heap>>10, after.goroutines, before.goroutines)
		}
		time.Sleep(100 * time.Millisecond) // connections that are no longer used are being closed
	}
}

// TestStormIsInForceWithinASecond does the same in virtual time, in which a second is a second on any machine.
func TestStormIsInForceWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, n := newMemoryNetwork(), 0
		s := newStorm(t, func(server *testServer) string {
			n++
			address := fmt.Sprintf("10.0.0.%d:1", n)
			network.serveAs(t, address, server)
			return address
		}, network.dialer())
		s.rage(8, 1, time.Millisecond, time.Second)
	})
}

// usage is what a program holds.
type usage struct {
	heap       uint64
	goroutines int
}

func settledUsage() usage {
	for range 3 { // what sync.Pool keeps survives one collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{m.HeapAlloc, runtime.NumGoroutine()}
}

// exceeds allows for buffers that happen to be larger, and for a goroutine of the test itself.
func (u usage) exceeds(before usage) bool {
	return u.heap > before.heap+before.heap/8+1<<20 || u.goroutines > before.goroutines+2
}

// storm is clients of one service, of which one server comes and goes.
type storm struct {
	t            *testing.T
	overrides    *goresilient.Overrides
	registry     *discovery.Registry
	stay         []string
	comesAndGoes string
	callers      []*stormCaller
	change       int
}

const stormClients = 50

func newStorm(t *testing.T, serve func(*testServer) string, opts ...goresilient.Option) *storm {
	s := &storm{t: t, overrides: goresilient.NewOverrides(), registry: discovery.NewRegistry()}
	t.Cleanup(s.registry.Close)
	server := func() string {
		var address string
		address = serve(&testServer{unary: func(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
			deadline, _ := ctx.Deadline()
			seconds := time.Until(deadline).Round(10*time.Second) / time.Second
			return &grpc_testing.SimpleResponse{Hostname: address, Username: strconv.Itoa(int(seconds))}, nil
		}})
		return address
	}
	for range 3 {
		s.stay = append(s.stay, server())
		s.register(s.stay[len(s.stay)-1])
	}
	s.comesAndGoes = server()
	opts = append(opts, goresilient.WithTarget("memory:///storm"), goresilient.WithResolvers(discovery.NewMemoryBuilder(s.registry)),
		goresilient.WithInsecure(), goresilient.WithOverrides(s.overrides), goresilient.WithBlock(),
		goresilient.WithPolicy(&policy.Service{
			// A server that leaves often is not kept in use: the test wants to see it go.
			Discovery: &policy.Discovery{EmptyGrace: policy.Set(time.Duration(0))},
		}))
	for range stormClients {
		s.callers = append(s.callers, &stormCaller{client: mustClient(t, opts...)})
	}
	return s
}

func (s *storm) register(address string) {
	if _, err := s.registry.Put("storm", address, discovery.Endpoint{Addresses: []string{address}}); err != nil {
		s.t.Fatal(err)
	}
}

// arms are the balancing policies of the storm, the last one that of its end.
var arms = []string{"least_request: {choices: 3}", "pick_first: {}", "least_request: {}", "round_robin: {}"}

// rage makes n changes, a multiple of the arms, so that the end is as the beginning. Every so many, at the last too, it waits
// until each caller has observed them, which it must within the given time. Callers pause between calls.
func (s *storm) rage(n, every int, pause, within time.Duration) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var calling sync.WaitGroup
	defer calling.Wait()
	defer cancel()
	for _, c := range s.callers {
		calling.Go(func() { c.run(ctx, s.t, pause) })
	}
	for i := range n {
		s.change++
		arm, want := arms[i%len(arms)], stormState{addresses: slices.Clone(s.stay)}
		seconds := 60 + 10*(s.change%50)
		want.timeout, want.one = strconv.Itoa(seconds), arm == "pick_first: {}"
		for _, c := range s.callers {
			c.forget()
		}
		body := fmt.Sprintf("    policy: {load_balancing: {%s}, method_defaults: {timeout: {total: %ds}}}\n", arm, seconds)
		if err := s.overrides.Set("storm", override(body)); err != nil {
			s.t.Fatal(err)
		}
		if i%2 == 0 {
			s.register(s.comesAndGoes)
			want.addresses = append(want.addresses, s.comesAndGoes)
		} else if _, _, err := s.registry.Delete("storm", s.comesAndGoes); err != nil {
			s.t.Fatal(err)
		}
		if (i+1)%every == 0 {
			s.observe(want, within)
		}
	}
}

// observe waits until each caller observes want.
func (s *storm) observe(want stormState, within time.Duration) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for _, c := range s.callers {
		for !c.observes(want) {
			if time.Now().After(deadline) {
				s.t.Fatalf("change %d is not in force after %v: want %+v, got %+v", s.change, within, want, c.recent())
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func (s *storm) calls() (n int) {
	for _, c := range s.callers {
		c.mu.Lock()
		n += c.calls
		c.mu.Unlock()
	}
	return n
}

// stormState is what calls show of the policy and the endpoints in force.
type stormState struct {
	timeout   string // of a call, in seconds
	addresses []string
	one       bool // one of the addresses answers all calls
}

// stormCaller calls, and remembers what came of the last calls that began after it was told to forget.
type stormCaller struct {
	client *testClient

	mu     sync.Mutex
	epoch  int
	calls  int
	window []*grpc_testing.SimpleResponse
}

// stormWindow is how many calls in a row must agree with a state.
const stormWindow = 16

func (c *stormCaller) run(ctx context.Context, t *testing.T, pause time.Duration) {
	for ctx.Err() == nil {
		c.mu.Lock()
		epoch := c.epoch
		c.mu.Unlock()
		out, err := c.client.unaryCall.Call(context.Background(), &grpc_testing.SimpleRequest{})
		if err != nil {
			t.Errorf("call failed: %v", err)
			return
		}
		c.mu.Lock()
		c.calls++
		if c.epoch == epoch {
			c.window = append(c.window, out)
			c.window = c.window[max(0, len(c.window)-stormWindow):]
		}
		c.mu.Unlock()
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}

func (c *stormCaller) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.window = nil
}

func (c *stormCaller) recent() []*grpc_testing.SimpleResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.window)
}

// observes tells whether the last calls are what want brings about.
func (c *stormCaller) observes(want stormState) bool {
	window := c.recent()
	if len(window) < stormWindow {
		return false
	}
	answered := make(map[string]bool)
	for _, out := range window {
		if out.GetUsername() != want.timeout || !slices.Contains(want.addresses, out.GetHostname()) {
			return false
		}
		answered[out.GetHostname()] = true
	}
	if want.one {
		return len(answered) == 1
	}
	return len(answered) == len(want.addresses)
}
