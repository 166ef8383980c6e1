package discovery

import (
	"math/rand/v2"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Checker is implemented by resolver builders that can tell a malformed target before anything is dialled.
type Checker interface {
	// Check returns a [*ConfigError] if no resolver can be built for target. It does no I/O.
	Check(target Target) error
}

// NewBuilder returns a builder of resolvers over the sources that open returns, for targets of the given scheme,
// which is in lower case. It implements [Checker] and [resolver.AuthorityOverrider], and may be used by many channels
// at once.
//
// open is called for each resolver, and to check a target. It does no I/O and acquires nothing: that is for the first
// Next. A [*ConfigError] that it returns is one of the target and refuses it; another error is reported and open is
// tried again, as is a source that fails, with exponential backoff from 0.2 s to 30 s.
//
// TLS verifies each endpoint by the host of its own address, and the :authority header carries it, unless the user
// chose another name, by grpc's WithAuthority or in the credentials. So the source is trusted to say who the servers
// are. (Those that DNS found for a name are verified by that name: see [NewDNSPollBuilder].)
func NewBuilder(scheme string, open func(Target) (Source, error)) resolver.Builder {
	return &builder{scheme: scheme, open: open, pacing: pacing{random: rand.Float64, sleep: sleep}}
}

// FromSource returns a builder whose targets all stand for src, whatever they say after the scheme, which is
// "source":
//
//	conn, err := grpc.NewClient("source:///inventory", grpc.WithResolvers(discovery.FromSource(src)), …)
func FromSource(src Source) resolver.Builder {
	return NewBuilder("source", func(Target) (Source, error) { return src, nil })
}

type builder struct {
	scheme string
	open   func(Target) (Source, error)
	pacing pacing
}

// Scheme implements [resolver.Builder].
func (b *builder) Scheme() string { return b.scheme }

// Check implements [Checker].
func (b *builder) Check(target Target) error {
	if _, err := b.open(target); IsPermanent(err) {
		return inTarget(err, target.String())
	}
	return nil
}

// Build implements [resolver.Builder]. Its only error is a [*ConfigError].
func (b *builder) Build(
	t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions,
) (resolver.Resolver, error) {
	target := targetOf(t)
	src, err := b.open(target)
	if IsPermanent(err) {
		return nil, inTarget(err, target.String())
	}
	open := func() (Source, error) { return b.open(target) }
	if err == nil {
		open = func() (Source, error) { return src, nil }
	}
	return startResolver(open, cc, !credentialsNameServer(opts), b.pacing), nil
}

// OverrideAuthority implements [resolver.AuthorityOverrider]. The result serves addresses that have no name of their
// own: sockets.
func (b *builder) OverrideAuthority(t resolver.Target) string {
	if src, err := b.open(targetOf(t)); err == nil {
		if a, ok := src.(interface{ authority() string }); ok {
			return a.authority()
		}
	}
	if name := t.Endpoint(); name != "" && strings.Trim(name, hostCharacters) == "" {
		return name
	}
	return localAuthority
}

// localAuthority is what gRPC sends to sockets.
const localAuthority = "localhost"

// credentialsNameServer reports whether the credentials name the server. grpc then makes that name the authority of
// the channel, and verifies it; an address with a name of its own would win over it.
func credentialsNameServer(opts resolver.BuildOptions) bool {
	//lint:ignore SA1019 the field is deprecated for setting; grpc obeys it, so it has to be read.
	return opts.DialCreds != nil && opts.DialCreds.Info().ServerName != ""
}
