package discovery

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/internal/backoff"
)

// DNSResolver looks names up. [*net.Resolver] is one.
type DNSResolver interface {
	// LookupNetIP returns the addresses of host; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupSRV returns the SRV records of name; service and proto are empty.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// DNSPollOption changes what [NewDNSPollBuilder] returns.
type DNSPollOption interface{ applyDNSPoll(*dnsPolling) }

type dnsPollOption func(*dnsPolling)

func (o dnsPollOption) applyDNSPoll(p *dnsPolling) { o(p) }

// WithDNSResolver replaces what looks names up. open is called for each target with the server that the target names, as
// host:port, or "" for the system's. Default: a [*net.Resolver].
func WithDNSResolver(open func(server string) DNSResolver) DNSPollOption {
	return dnsPollOption(func(p *dnsPolling) { p.open = open })
}

// NewDNSPollBuilder returns the builder for names that are looked up again and again, so that a scale-up is seen without
// a connection having to fail first, and a scale-down too:
//
//	dnspoll:///inventory.example:443            the A and AAAA records; the port is 443 if there is none
//	dnspoll:///inventory.example:443?every=15s  default 30s; 1s to 24h
//	dnspoll:///_grpc._tcp.example?srv=true      the SRV records, which have the ports
//	dnspoll://10.0.0.53/inventory.example:443   by the DNS server at 10.0.0.53, port 53 if there is none
//
// Lookups are every ± 10 % apart, so that clients do not ask in step. Resolving again looks up at once, though not sooner
// than a second after the last time. An error, a name that does not exist any more among them, leaves the last good
// addresses in use, marked as stale, and is reported; the next try is after the pauses of [NewBuilder], however long
// every is.
//
// Each address is an endpoint. Of SRV records, each is one: with the addresses of its host, with its weight (0 counts as
// 1), and with the rank of its priority among those there are, the best being 0.
//
// TLS verifies the name that the target gives and not the addresses, and :authority carries it, with the port. With SRV
// records it is the name without its leading labels _service._proto, since what a record says is not proof of who a
// server is (RFC 6125, section 1.8): "example" above.
func NewDNSPollBuilder(opts ...DNSPollOption) resolver.Builder {
	p := dnsPolling{
		open: systemResolver, random: rand.Float64,
		pause: dnsMinPause, timeout: dnsTimeout,
	}
	for _, o := range opts {
		o.applyDNSPoll(&p)
	}
	return NewBuilder("dnspoll", func(target Target) (Source, error) {
		q, err := parseDNSTarget(target)
		if err != nil {
			return nil, err
		}
		return &dnsSource{dnsQuestion: q, dnsPolling: p, resolver: p.open(q.server)}, nil
	})
}

const (
	dnsMinPause = time.Second // between two lookups
	dnsTimeout  = 15 * time.Second
	dnsJitter   = 0.1 // of every, to either side
)

// dnsPolling is how names are looked up.
type dnsPolling struct {
	open    func(server string) DNSResolver
	random  func() float64 // in [0, 1)
	pause   time.Duration  // at least, between the end of a lookup and the next
	timeout time.Duration  // of one lookup with all that belongs to it
}

// systemResolver asks the DNS server at the given address, or those that the system names.
func systemResolver(server string) DNSResolver {
	if server == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{
		PreferGo: true, // only Go's own resolver can be told whom to ask
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, server)
		},
	}
}

type dnsSource struct {
	dnsQuestion
	dnsPolling
	resolver DNSResolver
}

func (s *dnsSource) authority() string { return s.serverName }

// Watch implements [Source].
func (s *dnsSource) Watch() Watcher {
	life, end := context.WithCancel(context.Background())
	return &dnsWatcher{source: s, life: life, end: end, again: make(chan struct{}, 1)}
}

// interval is the time from one lookup to the next.
func (s *dnsSource) interval() time.Duration {
	return backoff.Jitter(s.every, dnsJitter, s.random())
}
