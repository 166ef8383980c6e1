package discovery

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseEndpoints(t *testing.T) {
	one := func(addresses ...string) []Endpoint { return []Endpoint{{Addresses: addresses, Weight: 1}} }
	tests := []struct {
		name, list string
		want       []Endpoint
	}{
		{"name", "db-1.example:443", one("db-1.example:443")},
		{"IPv4", "10.0.0.1:443", one("10.0.0.1:443")},
		{"IPv6", "[2001:db8::1]:443", one("[2001:db8::1]:443")},
		{"IPv6 in another spelling", "[2001:0DB8:0::1]:0443", one("[2001:db8::1]:443")},
		{"IPv6 with a zone", "[fe80::1%25eth0]:443", one("[fe80::1%eth0]:443")},
		{"upper case", "DB-1.Example:443", one("db-1.example:443")},
		{"root dot", "db-1.example.:443", one("db-1.example.:443")},
		{"socket", "unix:/run/db.sock", one("unix:/run/db.sock")},
		{"socket with separators", "unix:/run/a%2Cb%3Bc%2Bd%3De%25.sock", one("unix:/run/a,b;c+d=e%.sock")},
		{"abstract socket", "unix-abstract:db", one("unix-abstract:db")},
		{"several addresses", "10.0.0.1:443 + [2001:db8::1]:443", one("10.0.0.1:443", "[2001:db8::1]:443")},
		{"several endpoints", " a:1 , b:2 ", []Endpoint{
			{Addresses: []string{"a:1"}, Weight: 1}, {Addresses: []string{"b:2"}, Weight: 1}}},
		{"all properties", "a:1; weight = 1000000 ;zone=eu-west-1a;priority=127;meta.rack=r7;meta.a=x%3Dy=z;meta.empty=", []Endpoint{{
			Addresses: []string{"a:1"}, Weight: 1000000, Zone: "eu-west-1a", Priority: 127,
			Metadata: map[string]string{"rack": "r7", "a": "x=y=z", "empty": ""}}}},
		{"URL in metadata", "a:1;meta.url=http://x", []Endpoint{
			{Addresses: []string{"a:1"}, Weight: 1, Metadata: map[string]string{"url": "http://x"}}}},
		{"encoded spaces", "a:1;zone=%20x%20", []Endpoint{{Addresses: []string{"a:1"}, Weight: 1, Zone: " x "}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseEndpoints(tt.list)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
			again, err := ParseEndpoints(FormatEndpoints(got))
			if err != nil || !reflect.DeepEqual(again, tt.want) {
				t.Fatalf("formatted as %q: got %+v, %v", FormatEndpoints(got), again, err)
			}
		})
	}
}

func TestParseEndpointsReportsEveryProblem(t *testing.T) {
	type problem struct {
		column      int
		value, text string // text: a part of it
	}
	tests := []struct {
		name, list string
		want       []problem
	}{
		{"empty", "", []problem{{1, "", "write host:port"}}},
		{"blank", "   ", []problem{{4, "", "write host:port"}}},
		{"trailing comma", "a:1,", []problem{{5, "", "remove the comma"}}},
		{"no port", "db-1", []problem{{1, "db-1", "write db-1:443"}}},
		{"named port", "db-1:https", []problem{{1, "db-1:https", "a number from 1 to 65535"}}},
		{"port 0", "a:0", []problem{{1, "a:0", "a number from 1 to 65535"}}},
		{"port 65536", "a:65536", []problem{{1, "a:65536", "a number from 1 to 65535"}}},
		{"signed port", "a:+1", []problem{{1, "a:", "a number from"}, {4, "1", "has no port"}}},
		{"no host", ":443", []problem{{1, ":443", "write localhost:port"}}},
		{"IPv6 without brackets", "2001:db8::1:443", []problem{{1, "2001:db8::1:443", "write [2001:db8::1]:443, or [2001:db8::1:443]:443"}}},
		{"IPv6 with neither", "::1", []problem{{1, "::1", "write [::1]"}}},
		{"brackets without port", "[::1]", []problem{{1, "[::1]", "write [::1]:443"}}},
		{"brackets around a name", "[db]:1", []problem{{1, "[db]:1", "no IPv6 address"}}},
		{"open bracket", "[::1:443", []problem{{1, "[::1:443", "closing bracket"}}},
		{"text after bracket", "[::1]x:443", []problem{{1, "[::1]x:443", "after the bracket"}}},
		{"bad IPv4", "10.0.0.256:80", []problem{{1, "10.0.0.256:80", "no IPv4 address"}}},
		{"IPv4 with leading zero", "010.0.0.1:80", []problem{{1, "010.0.0.1:80", "no IPv4 address"}}},
		{"umlaut", "bücher:80", []problem{{1, "bücher:80", "punycode"}}},
		{"empty label", "a..b:80", []problem{{1, "a..b:80", "no host name"}}},
		{"target in a list", "dns:///a:1", []problem{{1, "dns:///a:1", "stands alone"}}},
		{"relative socket", "unix:db.sock", []problem{{1, "unix:db.sock", "no absolute path"}}},
		{"socket as URL", "unix:///run/db.sock", []problem{{1, "unix:///run/db.sock", "write unix:/run/db.sock"}}},
		{"socket without name", "unix:/", []problem{{1, "unix:/", "names no socket"}}},
		{"abstract without name", "unix-abstract:", []problem{{1, "unix-abstract:", "has no name"}}},
		{"abstract that grpc misreads", "unix-abstract:a:/b", []problem{{1, "unix-abstract:a:/b", "cannot be dialled"}}},
		{"duplicate", "a:1, A:01", []problem{{6, "A:01", "first in column 1"}}},
		{"duplicate in one endpoint", "a:1+a:1", []problem{{5, "a:1", "first in column 1"}}},
		{"unknown key", "a:1;wieght=2", []problem{{5, "wieght=2", "write weight, zone, priority or meta.NAME"}}},
		{"repeated key", "a:1;zone=x;zone=x", []problem{{12, "zone=x", "a second time"}}},
		{"repeated metadata", "a:1;meta.x=1;meta.x=2", []problem{{14, "meta.x=2", "meta.x a second time"}}},
		{"no value", "a:1;weight", []problem{{5, "weight", "no key=value"}}},
		{"trailing semicolon", "a:1;", []problem{{5, "", "remove the semicolon"}}},
		{"no zone", "a:1;zone=", []problem{{5, "zone=", "leave it out"}}},
		{"no metadata name", "a:1;meta.=x", []problem{{5, "meta.=x", "meta.NAME"}}},
		{"weight 0", "a:1;weight=0", []problem{{5, "weight=0", "from 1 to 1000000"}}},
		{"weight too high", "a:1;weight=1000001", []problem{{5, "weight=1000001", "from 1 to 1000000"}}},
		{"priority too high", "a:1;priority=128", []problem{{5, "priority=128", "from 0 to 127"}}},
		{"control character", "a:1,\nb:2", []problem{{5, "\nb:2", "control character"}}},
		{"encoded control character", "a:1;zone=%00", []problem{{10, "%00", "control character"}}},
		{"not UTF-8", "a:1;zone=%FF", []problem{{10, "%FF", "not UTF-8"}}},
		{"bad escape", "unix:/a%zz", []problem{{1, "unix:/a%zz", "write %25"}}},
		{"all at once, in order", "a,,b:2;weight=x,a:1;q=1+b:2, b:2 ", []problem{
			{1, "a", "write a:443"}, {3, "", "missing"}, {8, "weight=x", "whole number"},
			{21, "q=1+b:2", "unknown key"}, {30, "b:2", "first in column 4"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseEndpoints(tt.list)
			var c *ConfigError
			if !errors.As(err, &c) || !IsPermanent(err) {
				t.Fatalf("got %v, want a ConfigError", err)
			}
			if len(c.Problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(c.Problems), len(tt.want), err)
			}
			for i, p := range c.Problems {
				w := tt.want[i]
				if p.Column != w.column || p.Value != w.value || !strings.Contains(p.Text, w.text) {
					t.Errorf("problem %d: got %+v, want %+v", i, p, w)
				}
				if !strings.Contains(err.Error(), p.Error()) {
					t.Errorf("%q does not name %q", err, p)
				}
			}
		})
	}
}

func FuzzParseEndpoints(f *testing.F) {
	for _, seed := range []string{
		"", "a:1", "a:1,b:2;weight=2;zone=eu", "[::1]:1+[fe80::1%25e]:2;meta.a=b", "unix:/a%2Cb;priority=3", "unix-abstract:x",
		"a:1;meta.%3D=%25", "::1", "a:1;;", "%zz", "\x00", "a:1,\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		endpoints, err := ParseEndpoints(s)
		if err != nil {
			if !IsPermanent(err) {
				t.Fatalf("%q: %v is no ConfigError", s, err)
			}
			return
		}
		text := FormatEndpoints(endpoints)
		again, err := ParseEndpoints(text)
		if err != nil || !reflect.DeepEqual(endpoints, again) {
			t.Fatalf("%q: %+v was written as %q and read as %+v, %v", s, endpoints, text, again, err)
		}
		// What was written also passes through a URL unharmed.
		target, b, err := ParseTarget("static:///"+text, nil)
		if err != nil || b.Scheme() != "static" {
			t.Fatalf("static:///%s: %v", text, err)
		}
		raw, err := opaque(target)
		if err != nil || raw != text {
			t.Fatalf("static:///%s: got %q, %v", text, raw, err)
		}
		for _, e := range endpoints {
			for _, a := range e.Addresses {
				dialAddress(a)
			}
		}
	})
}
