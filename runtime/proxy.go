package goresilient

import (
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// viaProxy returns the targets to build for those that are given, of which there is at least one. Where a proxy of the
// environment stands before a DNS name, the proxy resolves it, and grpc does so by leaving the resolver out, with all that
// ours stands around it for; a resolver that passes the name through does the same.
//
// grpc asks for a proxy once, by the first target. If there is one, each address goes through it unless NO_PROXY names that
// address: names of later targets are passed on too, so that they still are what NO_PROXY is compared with.
func (s *Settings) viaProxy(targets []string) []string {
	if s.direct {
		return targets
	}
	first, isName := s.dialled(targets[0])
	if first == "" || !proxied(first) {
		return targets
	}
	built := slices.Clone(targets)
	if isName {
		built[0] = "passthrough:///" + first
	}
	for i, target := range built[1:] {
		if address, isName := s.dialled(target); isName {
			built[i+1] = "passthrough:///" + address
		}
	}
	return built
}

// dialled returns what grpc looks for a proxy by, "" if the target is malformed, and whether it is a name for grpc's own DNS
// resolver, which then has its port.
func (s *Settings) dialled(target string) (address string, isName bool) {
	t, _, err := discovery.ParseTarget(target, discovery.Lookup(s.resolvers))
	if err != nil {
		return "", false
	}
	address = t.Endpoint()
	if t.URL.Scheme != "dns" || t.URL.Host != "" {
		return address, false
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "443") // as grpc's resolver does
	}
	return address, true
}

func proxied(address string) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	return err == nil && proxy != nil
}
