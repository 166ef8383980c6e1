package discovery

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Target is a parsed target, with the text that it came from.
type Target struct {
	resolver.Target
	// Raw is the target as written, before a default scheme was added.
	Raw string
}

// String returns the target as written.
func (t Target) String() string { return t.Raw }

// targetOf is the Target of a builder that only grpc's is given to.
func targetOf(t resolver.Target) Target { return Target{Target: t, Raw: t.URL.String()} }

// ParseTarget parses a target as gRPC does (https://github.com/grpc/grpc/blob/master/doc/naming.md): a URL whose
// scheme lookup knows, otherwise the whole as the endpoint of the default scheme, which is "dns" unless the program
// chose another with [resolver.SetDefaultScheme]. So "localhost:50051" and "[::1]:50051" are names for DNS. lookup is
// called with schemes in lower case; nil stands for [Lookup] of nothing.
//
// What has "://" in it but a scheme that lookup does not know is an error: gRPC would look it up as a host name, and
// that never succeeds. All errors are [*ConfigError].
func ParseTarget(target string, lookup func(scheme string) resolver.Builder) (Target, resolver.Builder, error) {
	if lookup == nil {
		lookup = Lookup(nil)
	}
	switch trimmed := strings.TrimSpace(target); {
	case trimmed == "":
		return Target{}, nil, badTarget("",
			"the target is empty; write host:port, or a URL such as dns:///host:port or static:///a:1,b:2")
	case trimmed != target:
		return Target{}, nil, badTarget(target, "has white space around it; write %s", trimmed)
	}
	u, err := url.Parse(target)
	if err == nil && u.Scheme != "" {
		if b := lookup(u.Scheme); b != nil {
			return Target{Target: resolver.Target{URL: *u}, Raw: target}, b, nil
		}
	}
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		return Target{}, nil, unusableURL(target, strings.ToLower(scheme), rest, err, lookup)
	}
	if strings.Contains(target, ",") {
		return Target{}, nil, badTarget(target, "is a list, and a target without a scheme is one name; write static:///%s", target)
	}
	scheme := defaultScheme()
	u, err = url.Parse(scheme + ":///" + target)
	if err != nil {
		return Target{}, nil, malformedURL(target, err)
	}
	b := lookup(scheme)
	if b == nil {
		return Target{}, nil, badTarget(target, "the default scheme %q has no resolver; %s",
			scheme, remedyFor(scheme, "", lookup))
	}
	return Target{Target: resolver.Target{URL: *u}, Raw: target}, b, nil
}

// Validate returns the [*ConfigError] of a target that can never work, and nil for one that may: of those whose
// builder is a [Checker] more is seen than the scheme. It does no I/O. lookup is as in [ParseTarget].
func Validate(target string, lookup func(scheme string) resolver.Builder) error {
	t, b, err := ParseTarget(target, lookup)
	if err != nil {
		return err
	}
	if c, ok := b.(Checker); ok {
		return c.Check(t)
	}
	return nil
}

// defaultScheme is grpc.NewClient's. Package resolver's own default, "passthrough", is that of the old grpc.Dial.
func defaultScheme() string {
	if s := resolver.GetDefaultScheme(); s != "passthrough" {
		return s
	}
	return "dns"
}

// unusableURL is the error of a target that means to be a URL and is none that can be used.
func unusableURL(target, scheme, rest string, err error, lookup func(string) resolver.Builder) error {
	switch {
	case err == nil || lookup(scheme) == nil:
		return badTarget(target, "the scheme %q has no resolver; %s", scheme, remedyFor(scheme, rest, lookup))
	case !strings.HasPrefix(rest, "/"):
		return badTarget(target, "%s; write three slashes after the scheme: %s:///%s", cause(err), scheme, rest)
	}
	return malformedURL(target, err)
}

func malformedURL(target string, err error) error {
	return badTarget(target, "is no URL: %s; percent-encode what a URL cannot hold, e.g. %%25 for a percent sign",
		cause(err))
}

// cause leaves out the URL, which the error names anyway.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// remedyFor says what to do about a scheme that lookup does not know.
func remedyFor(scheme, rest string, lookup func(string) resolver.Builder) string {
	var known []string
	for _, s := range []string{ // those that somebody may mean; a registry of resolvers cannot be listed
		"static", "env", "file", "memory", "dnspoll", "etcd", "dns", "unix", "unix-abstract", "passthrough", "xds",
	} {
		if lookup(s) != nil {
			known = append(known, s)
		}
	}
	var advice string
	switch scheme {
	case "http", "https", "grpc", "grpcs", "tcp":
		host, _, _ := strings.Cut(rest, "/")
		advice = fmt.Sprintf("gRPC targets name no protocol, and TLS is an option: write dns:///%s", host)
	case "etcd":
		advice = "add the resolver of package github.com/goresilient/goresilient/runtime/discovery/etcd"
	case "xds":
		advice = `import _ "google.golang.org/grpc/xds"`
	default:
		advice = "import the package that registers it with grpc, or give the channel its resolver.Builder"
	}
	return fmt.Sprintf("%s, or use one of: %s", advice, strings.Join(known, ", "))
}
