package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
)

// zone is a DNS server whose records the test writes.
type zone struct {
	mu      sync.Mutex
	hosts   map[string][]string
	records []*net.SRV
	err     error
	hang    bool
	lookups []time.Time
	asked   string // the last server that a target named
}

func (z *zone) option() DNSPollOption {
	return WithDNSResolver(func(server string) DNSResolver { z.asked = server; return z })
}

func (z *zone) set(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lookups = append(z.lookups, time.Now())
	if z.hang {
		z.mu.Unlock()
		<-ctx.Done()
		z.mu.Lock()
		return nil, ctx.Err()
	}
	if z.err != nil {
		return nil, z.err
	}
	var out []netip.Addr
	for _, a := range z.hosts[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if len(out) == 0 || network != "ip" {
		return nil, noSuchHost(host)
	}
	return out, nil
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.err != nil {
		return "", nil, z.err
	}
	if service+proto != "" || !strings.HasPrefix(name, "_grpc._tcp.") || len(z.records) == 0 {
		return "", nil, noSuchHost(name)
	}
	return name, slices.Clone(z.records), nil
}

// poll builds a resolver for target over z, with a jitter of nothing.
func poll(t *testing.T, z *zone, target string, c *capture, opts resolver.BuildOptions) resolver.Resolver {
	t.Helper()
	middle := dnsPollOption(func(p *dnsPolling) { p.random = func() float64 { return 0.5 } })
	b := NewDNSPollBuilder(z.option(), middle).(*builder)
	b.pacing.random = func() float64 { return 0.5 }
	parsed, _, err := ParseTarget(target, Lookup([]resolver.Builder{b}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Build(parsed.Target, c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDNSPollFollowsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"inv.example": {"10.0.0.2", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"}}}
		c := &capture{t: t}
		r := poll(t, z, "dnspoll:///Inv.example?every=15s", c, resolver.BuildOptions{})
		defer r.Close()
		synctest.Wait()
		c.expect(1, 0, "10.0.0.2:443", "10.0.0.1:443")
		for _, e := range c.last().Endpoints {
			if e.Addresses[0].ServerName != "inv.example:443" {
				t.Errorf("TLS would verify %q", e.Addresses[0].ServerName)
			}
		}
		// Another order is no change; a scale-up is; then a scale-down.
		z.set(func() { z.hosts["inv.example"] = []string{"10.0.0.1", "10.0.0.2"} })
		time.Sleep(15 * time.Second)
		synctest.Wait()
		c.expect(1, 0, "10.0.0.2:443", "10.0.0.1:443")
		z.set(func() { z.hosts["inv.example"] = []string{"2001:db8::1", "10.0.0.1", "10.0.0.2"} })
		time.Sleep(15 * time.Second)
		synctest.Wait()
		c.expect(2, 0, "10.0.0.2:443", "10.0.0.1:443", "[2001:db8::1]:443")
		z.set(func() { z.hosts["inv.example"] = []string{"2001:db8::1"} })
		time.Sleep(15 * time.Second)
		synctest.Wait()
		c.expect(3, 0, "[2001:db8::1]:443")
		if n := len(z.lookups); n != 4 {
			t.Errorf("%d lookups in 45 s", n)
		}
	})
}

func TestDNSPollKeepsTheLastGoodAddresses(t *testing.T) {
	refused := &net.DNSError{Err: "server misbehaving", Name: "inv", IsTemporary: true}
	for _, tt := range []struct {
		name string
		fail func(*zone)
	}{
		{"server fails", func(z *zone) { z.err = refused }},
		{"no such host any more", func(z *zone) { z.hosts = nil }},
		{"server hangs", func(z *zone) { z.hang = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := &zone{hosts: map[string][]string{"inv": {"10.0.0.1"}}}
				c := &capture{t: t}
				r := poll(t, z, "dnspoll:///inv:1?every=10s", c, resolver.BuildOptions{})
				defer r.Close()
				synctest.Wait()
				z.set(func() { tt.fail(z) })
				time.Sleep(10*time.Second + dnsTimeout)
				synctest.Wait()
				states, errs := c.count()
				if states != 2 || errs == 0 || !slices.Equal(c.addresses(), []string{"10.0.0.1:1"}) {
					t.Fatalf("%d states, %d errors, %v", states, errs, c.addresses())
				}
				if set := SetOf(c.last()); set.Stale == nil || !strings.Contains(c.lastError().Error(), `"dnspoll:///inv:1?every=10s"`) {
					t.Errorf("stale %v, error %v", set.Stale, c.lastError())
				}
				z.set(func() { z.hosts, z.err, z.hang = map[string][]string{"inv": {"10.0.0.1"}}, nil, false })
				time.Sleep(time.Minute)
				synctest.Wait()
				if set := SetOf(c.last()); set.Stale != nil {
					t.Errorf("still stale: %v", set.Stale)
				}
			})
		})
	}
}

func TestDNSPollUnknownNameIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &capture{t: t}
		r := poll(t, &zone{}, "dnspoll:///nobody", c, resolver.BuildOptions{})
		defer r.Close()
		synctest.Wait()
		var dns *net.DNSError
		if !errors.As(c.lastError(), &dns) || !dns.IsNotFound {
			t.Errorf("got %v", c.lastError())
		}
	})
}

func TestDNSPollRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"inv": {"10.0.0.1"}}}
		c := &capture{t: t}
		r := poll(t, z, "dnspoll:///inv?every=1h", c, resolver.BuildOptions{})
		defer r.Close()
		synctest.Wait()
		z.set(func() { z.hosts["inv"] = []string{"10.0.0.2"} })
		time.Sleep(10 * time.Second)
		begin := time.Now()
		r.ResolveNow(resolver.ResolveNowOptions{})
		synctest.Wait()
		c.expect(2, 0, "10.0.0.2:443")
		// Asked without end, it looks up once a second.
		for range 1000 {
			r.ResolveNow(resolver.ResolveNowOptions{})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		z.set(func() {
			if n := len(z.lookups); n != 12 {
				t.Errorf("%d lookups in all", n)
			}
			for i := 2; i < len(z.lookups); i++ {
				if gap := z.lookups[i].Sub(z.lookups[i-1]); gap < dnsMinPause {
					t.Errorf("lookup %d, at %v, came %v after the one before", i, z.lookups[i].Sub(begin), gap)
				}
			}
		})
	})
}

func TestDNSPollJitter(t *testing.T) {
	s := &dnsSource{dnsQuestion: dnsQuestion{every: 10 * time.Second}}
	for random, want := range map[float64]time.Duration{0: 9 * time.Second, 0.5: 10 * time.Second, 0.75: 10500 * time.Millisecond} {
		s.random = func() float64 { return random }
		if got := s.interval(); got != want {
			t.Errorf("%v: got %v, want %v", random, got, want)
		}
	}
}

func TestDNSPollSRV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{
			hosts: map[string][]string{"a.": {"2001:db8::1", "10.0.0.1"}, "b.": {"10.0.0.2"}, "c.": {"10.0.0.3"}},
			records: []*net.SRV{
				{Target: "b.", Port: 2, Priority: 20, Weight: 7}, {Target: "a.", Port: 1, Priority: 10},
				{Target: "c.", Port: 3, Priority: 10, Weight: 9}, {Target: "a.", Port: 1, Priority: 30, Weight: 5},
				{Target: ".", Port: 1}, {Target: "c.", Port: 0},
			},
		}
		c := &capture{t: t}
		r := poll(t, z, "dnspoll:///_grpc._tcp.example?srv=true&every=10s", c, resolver.BuildOptions{})
		defer r.Close()
		synctest.Wait()
		want := "10.0.0.1:1+[2001:db8::1]:1,10.0.0.3:3;weight=9,10.0.0.2:2;weight=7;priority=1"
		if got := FormatEndpoints(SetOf(c.last()).Endpoints); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if name := c.last().Endpoints[2].Addresses[0].ServerName; name != "example:2" {
			t.Errorf("TLS would verify %q", name)
		}
		// A host that cannot be looked up keeps its addresses, a new one waits for some, and both are told.
		z.set(func() {
			delete(z.hosts, "b.")
			z.records = append(z.records[:2:2], &net.SRV{Target: "d.", Port: 4, Priority: 10})
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want = "10.0.0.1:1+[2001:db8::1]:1,10.0.0.2:2;weight=7;priority=1"
		set := SetOf(c.last())
		if got := FormatEndpoints(set.Endpoints); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if set.Stale == nil || !strings.Contains(set.Stale.Error(), "b., d.") {
			t.Errorf("got stale %v", set.Stale)
		}
		// The one host that says that there is no service.
		z.set(func() { z.records = []*net.SRV{{Target: "."}} })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if set := SetOf(c.last()); len(set.Endpoints) != 0 || set.Stale != nil {
			t.Errorf("got %+v", set)
		}
	})
}

func TestDNSPollAsksTheServerOfTheTarget(t *testing.T) {
	z := &zone{}
	b := NewDNSPollBuilder(z.option())
	if err := Validate("dnspoll://8.8.8.8/inv", Lookup([]resolver.Builder{b})); err != nil || z.asked != "8.8.8.8:53" {
		t.Errorf("asked %q, %v", z.asked, err)
	}
}

func TestSystemResolverAsksTheServer(t *testing.T) {
	lis, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	asked := make(chan string, 10)
	go func() {
		defer close(served)
		for buf := make([]byte, 1500); ; {
			n, from, err := lis.ReadFrom(buf)
			if err != nil {
				return
			}
			asked <- string(buf[:n])
			buf[2], buf[3] = 0x81, 0x83 // the same as a response: no such name (RFC 1035, section 4.1.1)
			_, _ = lis.WriteTo(buf[:n], from)
		}
	}()
	_, err = systemResolver(lis.LocalAddr().String()).LookupNetIP(t.Context(), "ip", "inventory.example.")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("got %v", err)
	}
	if q := <-asked; !strings.Contains(q, "\x09inventory\x07example\x00") {
		t.Errorf("asked %q", q)
	}
	lis.Close()
	<-served
}

func TestDNSPollCloseGivesUpALookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hang: true}
		src := &dnsSource{
			dnsQuestion: dnsQuestion{name: "inv", port: 1, every: time.Second},
			dnsPolling:  dnsPolling{random: func() float64 { return 0.5 }, pause: time.Second, timeout: time.Hour},
			resolver:    z,
		}
		w := src.Watch()
		ended := make(chan error)
		go func() { _, err := w.Next(t.Context()); ended <- err }()
		synctest.Wait()
		begin := time.Now()
		w.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) || time.Since(begin) != 0 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		// A context that ends gives up the lookup and not the watch.
		w = src.Watch()
		defer w.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		z.set(func() { z.hang, z.hosts = false, map[string][]string{"inv": {"10.0.0.1"}} })
		if ev, err := w.Next(t.Context()); err != nil || !ev.Reset || fmt.Sprint(ev.Put[0].Key) != "10.0.0.1:1" {
			t.Errorf("got %+v, %v", ev, err)
		}
	})
}

func TestDNSPollIsCalledByItsName(t *testing.T) {
	addr, seen := serve(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	z := &zone{hosts: map[string][]string{"inv.example": {"127.0.0.1"}}}
	cc, err := grpc.NewClient("dnspoll:///inv.example:"+port,
		grpc.WithResolvers(NewDNSPollBuilder(z.option())), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	_, err = healthpb.NewHealthClient(cc).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if got, want := <-seen, "inv.example:"+port; err != nil || got != want {
		t.Errorf("called %q, want %q; %v", got, want, err)
	}
}
