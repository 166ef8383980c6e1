package goresilient

import (
	"net"
	"net/http"
	"net/url"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// viaProxy returns the target to build for one that is given. Where a proxy of the environment stands before a DNS name, the
// proxy resolves it, and grpc does so by leaving the resolver out, with all that ours stands around it for; a resolver that
// passes the name through does the same.
func (s *Settings) viaProxy(target string) string {
	if s.direct {
		return target
	}
	t, _, err := discovery.ParseTarget(target, discovery.Lookup(s.resolvers))
	if err != nil || t.URL.Scheme != "dns" || t.URL.Host != "" {
		return target
	}
	address := t.Endpoint()
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "443") // as grpc's resolver does
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil || proxy == nil {
		return target
	}
	return "passthrough:///" + address
}
