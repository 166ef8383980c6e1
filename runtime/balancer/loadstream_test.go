package balancer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"

	"github.com/goresilient/goresilient/internal/memnet"
)

// reporter is a server that reports its load with grpc's own package, and its name in a header.
type reporter struct {
	*grpc.Server
	metrics orca.ServerMetricsRecorder
}

// report starts a server; stream is whether it reports outside of calls as well.
func (n *network) report(t *testing.T, addr string, rate, utilization float64, stream bool) *reporter {
	t.Helper()
	l := memnet.Listen()
	n.mu.Lock()
	n.listeners[addr] = l
	n.mu.Unlock()
	r := &reporter{metrics: orca.NewServerMetricsRecorder()}
	r.metrics.SetQPS(rate)
	r.metrics.SetApplicationUtilization(utilization)
	name := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("server", addr)); err != nil {
			return nil, err
		}
		orca.CallMetricsRecorderFromContext(ctx) // without which it reports nothing
		return h(ctx, req)
	}
	r.Server = grpc.NewServer(orca.CallMetricsServerOption(r.metrics), grpc.ChainUnaryInterceptor(name))
	healthpb.RegisterHealthServer(r, anyCheck{})
	if stream {
		if err := orca.Register(r, orca.ServiceOptions{ServerMetricsProvider: r.metrics}); err != nil {
			t.Fatal(err)
		}
	}
	go r.Serve(l)
	return r
}

// anyCheck answers every check.
type anyCheck struct {
	healthpb.UnimplementedHealthServer
}

func (anyCheck) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return new(healthpb.HealthCheckResponse), nil
}

func TestReportsOfRealServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, weightedConfig(time.Second))
		defer c.conn.Close()
		for _, s := range []*reporter{c.report(t, "a", 100, 1, false), c.report(t, "b", 100, 0.25, false)} {
			defer s.Stop()
		}
		c.conn.Connect()
		c.resolve("a", "b")
		c.awaitReady(2)
		within(t, c.servers(20), map[string]int{"a": 10, "b": 10})
		time.Sleep(2 * time.Second)
		within(t, c.servers(100), map[string]int{"a": 20, "b": 80})
	})
}

func outOfBand(period time.Duration) Config {
	cfg := weightedConfig(time.Second)
	cfg.LoadBalancing.WeightedRoundRobin.OutOfBandPeriod = &period
	return cfg
}

func TestReportsOutOfBand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, outOfBand(30*time.Second))
		defer c.conn.Close()
		servers := map[string]*reporter{
			"a": c.report(t, "a", 100, 1, true), "b": c.report(t, "b", 100, 0.25, true), "old": c.report(t, "old", 100, 1, false),
		}
		defer func() {
			for _, s := range servers {
				s.Stop()
			}
		}()
		c.conn.Connect()
		c.resolve("a", "b", "old")
		c.awaitReady(3)
		time.Sleep(35 * time.Second)
		// The mean of 100 and 400 for the one that does not report: that it does with calls does not count.
		within(t, c.servers(150), map[string]int{"a": 20, "b": 80, "old": 50})

		servers["a"].metrics.SetApplicationUtilization(0.25)
		time.Sleep(35 * time.Second)
		within(t, c.servers(150), map[string]int{"a": 50, "b": 50, "old": 50})

		// A server that comes back is asked again.
		servers["b"].Stop()
		c.awaitReady(2)
		servers["b"] = c.report(t, "b", 100, 0.125, true)
		c.awaitReady(3)
		time.Sleep(35 * time.Second)
		within(t, c.servers(180), map[string]int{"a": 40, "b": 80, "old": 60})

		// Nobody listens to a server that is no longer listed.
		c.resolve("a", "b")
		if n := len(c.ch.streams); n != 2 {
			t.Errorf("there are %d streams for two servers", n)
		}

		// Without streams, what was known expires.
		c.ch.Configure(weightedConfig(time.Second))
		c.resolve("a", "b", "old")
		time.Sleep(4 * time.Minute)
		if n := len(c.ch.streams); n != 0 {
			t.Errorf("%d streams are still there", n)
		}
		within(t, c.servers(3), map[string]int{"a": 1, "b": 1, "old": 1})
	})
}

// Endpoints of several addresses have their SubConn from a leaf.
func TestReportsOutOfBandBehindALeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, outOfBand(30*time.Second))
		defer c.conn.Close()
		for _, s := range []*reporter{c.report(t, "a", 100, 1, true), c.report(t, "b", 100, 0.25, true)} {
			defer s.Stop()
		}
		c.conn.Connect()
		s := stateOf("a", "b")
		for i := range s.Endpoints {
			s.Endpoints[i].Addresses = append(s.Endpoints[i].Addresses, s.Endpoints[i].Addresses[0])
			s.Endpoints[i].Addresses[1].Addr = "nobody" + s.Endpoints[i].Addresses[0].Addr
		}
		c.push(s)
		c.awaitReady(2)
		time.Sleep(35 * time.Second)
		within(t, c.servers(100), map[string]int{"a": 20, "b": 80})
	})
}

func TestRetryDelayGrows(t *testing.T) {
	middle := func() uint64 { return 1 << 63 }
	for failures, want := range []time.Duration{time.Second, 1600 * time.Millisecond, 2560 * time.Millisecond} {
		if got := retryDelay(failures, middle).Round(time.Millisecond); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
	if got := retryDelay(1_000_000, func() uint64 { return 1<<64 - 1 }); got > 144*time.Second {
		t.Errorf("the delay grows to %v", got)
	}
}
