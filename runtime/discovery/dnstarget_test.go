package discovery

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/resolver"
)

func TestDNSPollTargets(t *testing.T) {
	tests := []struct {
		target string
		want   dnsQuestion
		err    string
	}{
		{"dnspoll:///Inv.example", dnsQuestion{name: "inv.example", port: 443, serverName: "inv.example:443"}, ""},
		{"dnspoll:///inv.:80?every=1s", dnsQuestion{name: "inv.", port: 80, serverName: "inv:80", every: time.Second}, ""},
		{"dnspoll:///10.0.0.1", dnsQuestion{name: "10.0.0.1", port: 443, serverName: "10.0.0.1:443"}, ""},
		{"dnspoll:///::1", dnsQuestion{name: "::1", port: 443, serverName: "[::1]:443"}, ""},
		{"dnspoll:///[::1]:80", dnsQuestion{name: "::1", port: 80, serverName: "[::1]:80"}, ""},
		{"dnspoll://8.8.8.8/inv", dnsQuestion{name: "inv", port: 443, serverName: "inv:443", server: "8.8.8.8:53"}, ""},
		{"dnspoll://[::1]:54/inv", dnsQuestion{name: "inv", port: 443, serverName: "inv:443", server: "[::1]:54"}, ""},
		{"dnspoll:///_grpc._tcp.example.?srv=true", dnsQuestion{name: "_grpc._tcp.example.", srv: true, serverName: "example"}, ""},
		{"dnspoll:///inv.service.consul?srv=true", dnsQuestion{name: "inv.service.consul", srv: true, serverName: "inv.service.consul"}, ""},
		{"dnspoll:inv", dnsQuestion{}, "lacks the slashes"},
		{"dnspoll:///", dnsQuestion{}, "name to look up is missing"},
		{"dnspoll:///?srv=true", dnsQuestion{}, "name to look up is missing"},
		{"dnspoll:///inv:https", dnsQuestion{}, "number from 1 to 65535"},
		{"dnspoll:///_grpc._tcp.example", dnsQuestion{}, "add ?srv=true"},
		{"dnspoll:///_grpc._tcp?srv=true", dnsQuestion{}, "no domain"},
		{"dnspoll:///inv:1?srv=true", dnsQuestion{}, "has a port"},
		{"dnspoll:///inv?srv=yes&every=10ms&x=1", dnsQuestion{}, `"srv=yes" is neither`},
		{"dnspoll:///inv?srv=yes&every=10ms&x=1", dnsQuestion{}, `"every=10ms" is no time`},
		{"dnspoll:///inv?srv=yes&every=10ms&x=1", dnsQuestion{}, `"x" is no option`},
		{"dnspoll:///inv?every=1s&every=2s", dnsQuestion{}, "2 times"},
		{"dnspoll://u@8.8.8.8/inv", dnsQuestion{}, "has no user"},
		{"dnspoll://8.8.8.8:0/inv", dnsQuestion{}, "is no DNS server"},
		{"dnspoll:///inv#x", dnsQuestion{}, "is a fragment"},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			target, b, err := ParseTarget(tt.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseDNSTarget(target)
			if tt.err != "" {
				if !IsPermanent(err) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			want := tt.want
			if want.target = tt.target; want.every == 0 {
				want.every = dnsEvery
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			if a := b.(resolver.AuthorityOverrider).OverrideAuthority(target.Target); a != want.serverName {
				t.Errorf("authority %q", a)
			}
		})
	}
}
