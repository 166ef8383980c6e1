package discovery

import (
	"strings"

	"google.golang.org/grpc/resolver"
)

// Lookup returns the function that finds the resolver builder of a scheme, nil if there is none: in explicit first,
// the first that matches; then this package's static, env, file, dnspoll and memory; then in grpc's own registry, which
// is left untouched. Targets in memory need a registry, so that one's builder belongs into explicit.
// What env follows is found in the same way.
func Lookup(explicit []resolver.Builder) func(scheme string) resolver.Builder {
	var find func(scheme string) resolver.Builder
	env := NewEnvBuilder(func(scheme string) resolver.Builder { return find(scheme) })
	own := []resolver.Builder{NewStaticBuilder(), env, NewFileBuilder(), NewDNSPollBuilder(), NewMemoryBuilder(nil)}
	find = func(scheme string) resolver.Builder {
		scheme = strings.ToLower(scheme) // a URL's scheme has no case (RFC 3986, section 3.1)
		for _, list := range [][]resolver.Builder{explicit, own} {
			for _, b := range list {
				if b.Scheme() == scheme {
					return b
				}
			}
		}
		return resolver.Get(scheme)
	}
	return find
}
