package discovery

import (
	"strings"
	"testing"

	"google.golang.org/grpc/resolver"
)

func TestParseTarget(t *testing.T) {
	tests := []struct{ target, scheme, endpoint, host string }{
		{"localhost:50051", "dns", "localhost:50051", ""},
		{"localhost", "dns", "localhost", ""},
		{"[::1]:1", "dns", "[::1]:1", ""},
		{"10.0.0.1:1", "dns", "10.0.0.1:1", ""},
		{":443", "dns", ":443", ""},
		{"dns:foo", "dns", "foo", ""},
		{"dns:///foo:443", "dns", "foo:443", ""},
		{"dns://8.8.8.8/foo", "dns", "foo", "8.8.8.8"},
		{"DNS:///foo", "dns", "foo", ""},
		{"unix:path", "unix", "path", ""},
		{"unix:///run/x", "unix", "run/x", ""},
		{"unix-abstract:x", "unix-abstract", "x", ""},
		{"passthrough:///x", "passthrough", "x", ""},
		{"mine:///x", "mine", "x", ""},
		{"env:///X", "env", "X", ""},
		{"env:X", "env", "X", ""},
		{"static:///a:1,b:2", "static", "a:1,b:2", ""},
	}
	lookup := Lookup([]resolver.Builder{NewBuilder("mine", nil)})
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			got, b, err := ParseTarget(tt.target, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if b.Scheme() != tt.scheme || got.Endpoint() != tt.endpoint || got.URL.Host != tt.host || got.Raw != tt.target {
				t.Errorf("got %s, %q at %q, raw %q", b.Scheme(), got.Endpoint(), got.URL.Host, got.Raw)
			}
		})
	}
}

func TestParseTargetErrors(t *testing.T) {
	tests := []struct {
		name, target string
		want         []string
	}{
		{"empty", "", []string{"is empty", "dns:///host:port"}},
		{"blank", " \n", []string{"is empty"}},
		{"white space", "a:1\n", []string{"white space", "write a:1"}},
		{"unregistered", "zk:///x", []string{`"zk"`, "resolver.Builder", "static, env, file, memory, dnspoll, dns, unix, unix-abstract, passthrough"}},
		{"unregistered, upper case", "ZK:///x", []string{`"zk"`}},
		{"etcd without its package", "etcd:///x", []string{`"etcd"`, "runtime/discovery/etcd"}},
		{"xds without its package", "xds:///x", []string{"grpc/xds"}},
		{"protocol", "https://foo:443/x", []string{"write dns:///foo:443,"}},
		{"scheme that cannot be", "my_zk:///x", []string{`"my_zk"`}},
		{"bad escape", "dns:///%zz", []string{"%zz", "%25"}},
		{"bad escape without scheme", "a%zz", []string{"%zz", "%25"}},
		{"two slashes", "static://a:1;weight=2", []string{"three slashes", "static:///a:1;weight=2"}},
		{"control character", "dns:///a\x7f", []string{"control character"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, b, err := ParseTarget(tt.target, nil)
			if !IsPermanent(err) || b != nil {
				t.Fatalf("got %v, %v; want a ConfigError", b, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		target string
		want   string // "" for none
	}{
		{"static:///a:1", ""},
		{"static:///unix:/run/a%2Cb.sock", ""},
		{"static:///a", `target "static:///a": value "a": column 1: "a" has no port; write a:443`},
		{"static:///", "empty"},
		{"static://a:1,b:2", "three slashes"},
		{"static://u@/a:1", "three slashes"},
		{"static:///a:1?x=1", "%3F"},
		{"static:///a:1?", "%3F"},
		{"static:///a:1#x", "%23"},
		{"env:///X", ""},
		{"env:///X?default=a:1", ""},
		{"env:///X?default=a", `target "env:///X?default=a": value "a": column 1`},
		{"env:///X?default=env:///Y", "is not followed"},
		{"env:///X?default=zk:///Y", `scheme "zk"`},
		{"env://X", "env:///X"},
		{"env:///", "env:///NAME"},
		{"env:///A/B", "no name of a variable"},
		{"env:///X?fallback=a:1", "?default=ENDPOINTS"},
		{"env:///X?default=", "has no value"},
		{"env:///X?default=%zz", "%25"},
		{"env:///X?default=a:1#b", "fragment"},
		{"dns:///anything", ""},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			err := Validate(tt.target, nil)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !IsPermanent(err) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want a ConfigError with %q", err, tt.want)
			}
		})
	}
}

func TestLookupOrder(t *testing.T) {
	mine := NewBuilder("static", nil)
	find := Lookup([]resolver.Builder{mine, NewBuilder("static", nil)})
	if find("static") != mine {
		t.Error("an explicit builder does not win")
	}
	if b := find("ENV"); b == nil || b.Scheme() != "env" {
		t.Errorf("ENV: got %v", b)
	}
	if b := find("dns"); b != resolver.Get("dns") {
		t.Errorf("dns: got %v", b)
	}
	if find("nobody") != nil || resolver.Get("static") != nil || resolver.Get("env") != nil {
		t.Error("the registry was touched")
	}
}
