package discovery

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/filewatch"
)

// OpenStatic is for the external test.
var OpenStatic = openStatic

// OpenQuickFile opens a target that notices changes at once, and only if it is told of them.
func OpenQuickFile(t *testing.T, target string) Source {
	parsed, _, err := ParseTarget(target, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := openFile(parsed)
	if err != nil {
		t.Fatal(err)
	}
	src.options = filewatch.Options{Debounce: time.Millisecond, Poll: time.Hour}
	return src
}

// OpenQuickSRV opens SRV records, which have weights, that are looked up all the time.
func OpenQuickSRV() (Source, *PublishedZone) {
	z := &PublishedZone{}
	return &dnsSource{
		dnsQuestion: dnsQuestion{name: "_grpc._tcp.example", srv: true, every: time.Millisecond, serverName: "example"},
		dnsPolling:  dnsPolling{random: func() float64 { return 0.5 }, pause: time.Microsecond, timeout: time.Minute},
		resolver:    &z.zone,
	}, z
}

// PublishedZone has an SRV record for each endpoint, whose host has its address.
type PublishedZone struct{ zone zone }

// Publish replaces all records.
func (z *PublishedZone) Publish(endpoints []Endpoint) {
	z.zone.set(func() {
		z.zone.hosts, z.zone.records = make(map[string][]string), nil
		for _, e := range endpoints {
			a := netip.MustParseAddrPort(e.Addresses[0])
			z.zone.hosts[a.Addr().String()+"."] = []string{a.Addr().String()}
			z.zone.records = append(z.zone.records,
				&net.SRV{Target: a.Addr().String() + ".", Port: a.Port(), Weight: uint16(e.Weight)})
		}
		if len(endpoints) == 0 {
			z.zone.records = []*net.SRV{{Target: "."}}
		}
	})
}

// Fail makes all lookups fail, or answer again.
func (z *PublishedZone) Fail(fail bool) {
	z.zone.set(func() {
		if z.zone.err = nil; fail {
			z.zone.err = errors.New("server misbehaving")
		}
	})
}
