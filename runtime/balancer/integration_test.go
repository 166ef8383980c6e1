package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/internal/memnet"
)

// These tests run real grpc clients and servers over in-memory connections, in virtual time.

// network is where servers listen under their names.
type network struct {
	mu        sync.Mutex
	listeners map[string]*memnet.Listener
	dials     map[string]int
}

var errNobody = errors.New("nobody listens")

func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.dials[addr]++
	n.mu.Unlock()
	if l == nil {
		return nil, errNobody
	}
	return l.Dial(ctx)
}

// server is a server of the health service, which also serves as the service that is called.
type server struct {
	*grpc.Server
	health *health.Server
}

// serve starts a server; calls tell its name in a header.
func (n *network) serve(addr string) *server {
	l := memnet.Listen()
	n.mu.Lock()
	n.listeners[addr] = l
	n.mu.Unlock()
	s := &server{health: health.NewServer()}
	s.Server = grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("server", addr)); err != nil {
			return nil, err
		}
		return h(ctx, req)
	}))
	healthpb.RegisterHealthServer(s, s.health)
	go s.Serve(l)
	return s
}

// gone takes the server off the network; its connections stay.
func (n *network) gone(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.listeners, addr)
}

// client is a real grpc channel that resolves by hand.
type client struct {
	*network
	t    *testing.T
	ch   *Channel
	res  *manual.Resolver
	conn *grpc.ClientConn
}

func newClient(t *testing.T, cfg Config, opts ...grpc.DialOption) *client {
	t.Helper()
	c := &client{
		network: &network{listeners: make(map[string]*memnet.Listener), dials: make(map[string]int)},
		t:       t,
		ch:      NewChannel(cfg, Options{}),
		res:     manual.NewBuilderWithScheme("test"),
	}
	opts = append([]grpc.DialOption{
		grpc.WithResolvers(c.res),
		grpc.WithContextDialer(c.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"goresilient":{}}]}`),
	}, opts...)
	conn, err := grpc.NewClient("test:///x", opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	return c
}

func (c *client) resolve(addrs ...string) { c.push(stateOf(addrs...)) }

func (c *client) push(s resolver.State) {
	s.Attributes = c.ch.Attach(s.Attributes)
	c.res.UpdateState(s)
}

// serviceConfig is a service config with or without health checks of the server as a whole.
func (c *client) serviceConfig(health bool) *serviceconfig.ParseResult {
	js := `{"loadBalancingConfig":[{"goresilient":{}}]}`
	if health {
		js = `{"loadBalancingConfig":[{"goresilient":{}}],"healthCheckConfig":{"serviceName":""}}`
	}
	return c.res.CC().ParseServiceConfig(js)
}

// call returns the server that answered.
func (c *client) call(opts ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	var header metadata.MD
	_, err := healthpb.NewHealthClient(c.conn).Check(ctx, &healthpb.HealthCheckRequest{}, append(opts, grpc.Header(&header))...)
	if err != nil {
		return "", err
	}
	return header.Get("server")[0], nil
}

// servers returns how often each server answers n calls.
func (c *client) servers(n int) map[string]int {
	c.t.Helper()
	got := make(map[string]int)
	for range n {
		s, err := c.call()
		if err != nil {
			c.t.Fatal(err)
		}
		got[s]++
	}
	return got
}

// await waits until the status is as wanted.
func (c *client) await(what string, ok func(Status) bool) {
	c.t.Helper()
	deadline := time.After(5 * time.Minute) // of virtual time
	for {
		changed := c.ch.Changed()
		s := c.ch.Status()
		if ok(s) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatalf("waiting for %s: status is %+v", what, s)
		}
	}
}

func (c *client) awaitReady(n int) {
	c.t.Helper()
	c.await(fmt.Sprintf("%d READY", n), func(s Status) bool { return s.Ready == n })
	time.Sleep(2 * window) // and for their publication
}

func TestServersDieAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundRobinConfig())
		defer c.conn.Close()
		servers := map[string]*server{}
		for _, name := range []string{"a", "b", "c"} {
			servers[name] = c.serve(name)
		}
		c.conn.Connect()
		c.resolve("a", "b", "c")
		c.awaitReady(3)
		if got := c.servers(9); got["a"] != 3 || got["b"] != 3 || got["c"] != 3 {
			t.Errorf("answers = %v", got)
		}
		c.gone("a")
		servers["a"].Stop()
		c.awaitReady(2)
		if got := c.servers(8); got["b"] != 4 || got["c"] != 4 {
			t.Errorf("answers = %v", got)
		}
		c.await("failure", func(s Status) bool { return s.Failed == 1 })
		if err := c.ch.Endpoints()[0].LastError; !errors.Is(err, errNobody) {
			t.Errorf("LastError = %v, want the dialer's", err)
		}
		servers["a"] = c.serve("a")
		c.awaitReady(3)

		for name, s := range servers {
			c.gone(name)
			s.Stop()
		}
		c.await("all failed", func(s Status) bool { return s.State == connectivity.TransientFailure })
		_, err := c.call()
		if status.Code(err) != codes.Unavailable {
			t.Errorf("error = %v", err)
		}
		answer := make(chan error)
		go func() {
			_, err := c.call(grpc.WaitForReady(true))
			answer <- err
		}()
		time.Sleep(time.Second)
		servers["b"] = c.serve("b")
		if err := <-answer; err != nil {
			t.Errorf("a call that waits: %v", err)
		}
		servers["b"].Stop()
	})
}

func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, leastRequestConfig(2))
		defer c.conn.Close()
		a, b := c.serve("a"), c.serve("b")
		defer b.Stop()
		c.conn.Connect()
		c.resolve("a", "b")
		c.awaitReady(2)
		var calls sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
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
		}
		c.gone("a")
		a.GracefulStop()
		c.awaitReady(1)
		a = c.serve("a")
		defer a.Stop()
		c.awaitReady(2)
		close(stop)
		calls.Wait()
		for _, e := range c.ch.Endpoints() {
			if e.InFlight != 0 {
				t.Errorf("%d calls in flight at %s", e.InFlight, e.Endpoint.ID())
			}
		}
	})
}

func TestHealthOfServers(t *testing.T) {
	for _, cfg := range []Config{roundRobinConfig(), customConfig("round_robin", "{}")} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, cfg)
			defer c.conn.Close()
			a, b := c.serve("a"), c.serve("b")
			defer a.Stop()
			defer b.Stop()
			c.conn.Connect()
			c.resolve("a", "b")
			c.awaitReady(2)
			a.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
			time.Sleep(time.Second)
			if got := c.servers(4); got["a"] != 2 {
				t.Errorf("answers = %v without health checks", got)
			}

			c.ch.Configure(withHealth(cfg, ""))
			s := stateOf("a", "b")
			s.ServiceConfig = c.serviceConfig(true)
			c.push(s)
			time.Sleep(time.Second)
			if got := c.servers(4); got["b"] != 4 {
				t.Errorf("answers = %v with one unhealthy", got)
			}
			a.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
			b.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
			time.Sleep(time.Second)
			if got := c.servers(4); got["a"] != 4 {
				t.Errorf("answers = %v after they changed places", got)
			}

			c.ch.Configure(cfg)
			s.ServiceConfig = c.serviceConfig(false)
			c.push(s)
			time.Sleep(time.Second)
			if got := c.servers(4); got["b"] != 2 {
				t.Errorf("answers = %v without health checks again", got)
			}
		})
	}
}

// No call fails while policies are switched under it.
func TestSwitchWhileCallsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundRobinConfig())
		defer c.conn.Close()
		for _, name := range []string{"a", "b", "c"} {
			defer c.serve(name).Stop()
		}
		c.conn.Connect()
		c.resolve("a", "b", "c")
		c.awaitReady(3)
		var calls sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
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
						time.Sleep(100 * time.Microsecond)
					}
				}
			})
		}
		policies := []Config{
			pickFirstConfig(), leastRequestConfig(3), customConfig("round_robin", "{}"), roundRobinConfig(),
			customConfig("least_request_experimental", "{}"), pickFirstConfig(), roundRobinConfig(), leastRequestConfig(2),
		}
		for i, cfg := range slices.Concat(policies, policies) {
			c.ch.Configure(cfg)
			c.resolve("a", "b", "c")
			time.Sleep(time.Duration(i%4) * 3 * time.Millisecond)
		}
		close(stop)
		calls.Wait()
		c.awaitReady(3)
		if got := c.servers(300); len(got) != 3 {
			t.Errorf("answers = %v", got)
		}
	})
}

func TestIdlenessKeepsRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundRobinConfig(), grpc.WithIdleTimeout(time.Minute))
		defer c.conn.Close()
		a := c.serve("a")
		defer a.Stop()
		c.res.InitialState(resolver.State{Endpoints: stateOf("a", "b").Endpoints, Attributes: c.ch.Attach(nil)})
		if s, err := c.call(); err != nil || s != "a" {
			t.Fatalf("call: %v, %v", s, err)
		}
		c.await("failure", func(s Status) bool { return s.Failed == 1 })
		before := c.ch.Endpoints()
		time.Sleep(10 * time.Minute)
		if got := c.ch.Status(); got.State != connectivity.Idle || got.Total != 2 || got.Ready != 0 || !got.Updated {
			t.Errorf("status while idle = %+v", got)
		}
		attempts := c.ch.Endpoints()[0].Attempts
		if attempts != before[0].Attempts || c.ch.Endpoints()[1].LastError == nil {
			t.Errorf("endpoints while idle = %+v", c.ch.Endpoints())
		}
		if _, err := c.call(); err != nil {
			t.Fatal(err)
		}
		if got := c.ch.Endpoints()[0]; got.Attempts != attempts+1 || got.State != connectivity.Ready {
			t.Errorf("endpoint after idleness = %+v", got)
		}
	})
}

// pick_first goes IDLE when its connection ends; ExitIdle and a call bring it back.
func TestExitIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, pickFirstConfig())
		defer c.conn.Close()
		a := c.serve("a")
		c.conn.Connect()
		c.resolve("a", "b")
		c.awaitReady(1)
		a.Stop()
		c.await("IDLE", func(s Status) bool { return s.State == connectivity.Idle })
		a = c.serve("a")
		defer a.Stop()
		c.conn.Connect()
		c.awaitReady(1)
		if got := c.servers(2); got["a"] != 2 {
			t.Errorf("answers = %v", got)
		}
	})
}

// One server at several addresses, of which some do not answer.
func TestSeveralAddressesOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundRobinConfig())
		defer c.conn.Close()
		a, b := c.serve("a"), c.serve("b")
		defer b.Stop()
		s := stateOf("dead", "b")
		s.Endpoints[0].Addresses = append(s.Endpoints[0].Addresses, resolver.Address{Addr: "a"})
		c.conn.Connect()
		c.push(s)
		c.awaitReady(2)
		if got := c.servers(4); got["a"] != 2 || got["b"] != 2 {
			t.Errorf("answers = %v", got)
		}
		a.Stop()
		c.gone("a")
		c.await("failure", func(s Status) bool { return s.Failed == 1 })
		if got := c.servers(4); got["b"] != 4 {
			t.Errorf("answers = %v", got)
		}
		a = c.serve("dead")
		defer a.Stop()
		c.awaitReady(2)
		if got := c.servers(4); got["dead"] != 2 {
			t.Errorf("answers = %v", got)
		}
	})
}

// Closing in the middle of updates and calls leaves nothing behind: neither goroutines nor a panic.
func TestCloseDuringUpdates(t *testing.T) {
	for _, cfg := range []Config{roundRobinConfig(), pickFirstConfig(), customConfig("round_robin", "{}")} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, cfg)
			for _, name := range []string{"a", "b"} {
				defer c.serve(name).Stop()
			}
			c.conn.Connect()
			c.resolve("a", "b")
			var updates sync.WaitGroup
			for i := range 4 {
				updates.Go(func() {
					for range 50 {
						c.ch.Configure([]Config{cfg, roundRobinConfig(), pickFirstConfig()}[i%3])
						c.resolve([]string{"a", "b", "c", "d"}[i:]...)
						c.call()
					}
				})
			}
			time.Sleep(time.Millisecond)
			c.conn.Close()
			updates.Wait()
			if got := c.ch.Status().State; got != connectivity.Idle {
				t.Errorf("state = %v after Close", got)
			}
		})
	}
}
