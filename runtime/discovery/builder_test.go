package discovery

import (
	"testing"

	"google.golang.org/grpc/resolver"
)

func TestAuthorityOfSources(t *testing.T) {
	open := func(Target) (Source, error) { return newScript(), nil }
	failing := func(Target) (Source, error) { return nil, errBackend }
	tests := []struct {
		name, target, want string
		builder            resolver.Builder
	}{
		{"service", "reg:///inventory", "inventory", NewBuilder("reg", open)},
		{"source that fails", "reg:///inventory", "inventory", NewBuilder("reg", failing)},
		{"path", "reg:///etc/endpoints.yaml", "localhost", NewBuilder("reg", open)},
		{"nothing", "reg:///", "localhost", NewBuilder("reg", open)},
		{"list", "static:///Db:443,a:1", "db:443", NewStaticBuilder()},
		{"IPv6", "static:///[2001:db8::1]:443", "[2001:db8::1]:443", NewStaticBuilder()},
		{"IPv6 with a zone", "static:///[fe80::1%25eth0]:443", "[fe80::1]:443", NewStaticBuilder()},
		{"socket", "static:///unix:/run/x,a:1", "localhost", NewStaticBuilder()},
		{"malformed", "static:///", "localhost", NewStaticBuilder()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, b, err := ParseTarget(tt.target, Lookup([]resolver.Builder{tt.builder}))
			if err != nil {
				t.Fatal(err)
			}
			if got := b.(resolver.AuthorityOverrider).OverrideAuthority(target.Target); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
