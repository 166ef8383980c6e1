package goresilient

import (
	"context"
	"reflect"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/stats"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// WithTarget sets where the service is, as a gRPC target: "static:///10.0.0.1:443,10.0.0.2:443", "env:///INVENTORY_TARGET",
// "dns:///inventory:443", or a scheme of your own. It beats the target in the schema; the environment beats it. For several
// in order of preference there is [WithTargets].
func WithTarget(target string) Option {
	return channelPolicy("WithTarget", &policy.Service{Target: &target})
}

// WithPolicy lays p over what the schema and the resolver say of the service, field by field. Several add up. Given to
// [NewChannel] it may set what a channel has: target, load balancing, outlier detection, health check, discovery, connection,
// dial.
func WithPolicy(p *policy.Service) Option {
	return optionFunc(func(s *Settings) {
		if p == nil {
			s.fail("WithPolicy(nil) sets nothing; remove it")
			return
		}
		s.addPolicy("WithPolicy", p)
	})
}

// WithBlock makes the constructor wait until the service is ready, as dial.block in the schema does: until dial.min_ready
// endpoints are READY, or dial.timeout (default 20 s) has passed. The error is then a [*DialError].
func WithBlock() Option {
	return optionFunc(func(s *Settings) {
		s.addPolicy("WithBlock", &policy.Service{Dial: &policy.Dial{Block: policy.Set(true)}})
	})
}

// WithContext bounds the wait of a constructor that blocks, as [WithBlock] makes it. It has no effect on one that does not,
// nor on the client afterwards. Default: [context.Background].
func WithContext(ctx context.Context) Option {
	return optionFunc(func(s *Settings) {
		if ctx == nil {
			s.fail("WithContext(nil) has no meaning; pass context.Background() or remove it")
			return
		}
		s.ctx = ctx
	})
}

// WithoutEnvironment ignores the environment variables that operators may set, so that a test does not depend on where it
// runs. It does not stop an env target from reading its variable. Default: they are read.
func WithoutEnvironment() Option {
	return optionFunc(func(s *Settings) { s.environment = environment{} })
}

// WithChannel makes the client use ch, which other clients may use as well. Close of the client leaves ch open. What
// belongs to the channel (credentials, resolvers, target) is given to [NewChannel]; it is an error here.
func WithChannel(ch *Channel) Option {
	return optionFunc(func(s *Settings) {
		if ch == nil {
			s.fail("WithChannel(nil) gives no channel; make one with NewChannel")
			return
		}
		s.channel = ch
	})
}

// WithConn makes the client call over conn and keeps the call policy: a fake in a test, a *grpc.ClientConn with settings
// of its own. Close of the client leaves conn open. Discovery, balancing and dial are then those of conn.
func WithConn(conn grpc.ClientConnInterface) Option {
	return optionFunc(func(s *Settings) {
		if cc, ok := conn.(*grpc.ClientConn); conn == nil || ok && cc == nil {
			s.fail("WithConn(nil) gives no connection; pass one or remove the option")
			return
		}
		s.conn = conn
	})
}

// WithResolvers adds resolver builders for the scheme of the target. They win over the schemes that this module brings and
// over those registered with grpc; of two for one scheme the first wins. Several add up.
func WithResolvers(builders ...resolver.Builder) Option {
	return channelOption("WithResolvers", func(s *Settings) { s.resolvers = appendChecked(s, "WithResolvers", s.resolvers, builders) })
}

// WithZone says in which zone this process runs, e.g., "eu-west-1a", as discovery names the zones of endpoints.
// load_balancing.zone_aware needs it. Default: none.
func WithZone(zone string) Option {
	return channelOption("WithZone", func(s *Settings) {
		if zone == "" {
			s.fail("WithZone: the zone is empty; name the zone of this process, or remove the option")
			return
		}
		s.zone = zone
	})
}

// WithServiceConfig sets the gRPC service config, in JSON, that holds as long as the resolver gives none. Its balancing
// policy, health check, deadlines, wait for ready, message sizes and retries become policy, below the Go options.
func WithServiceConfig(js string) Option {
	return channelOption("WithServiceConfig", func(s *Settings) {
		sc, err := discovery.ParseServiceConfig(js)
		if err != nil {
			s.fail("WithServiceConfig: %w", err)
			return
		}
		s.serviceConfig = sc
	})
}

// WithKeepalive sends HTTP/2 pings, as connection.keepalive in the schema does. A Timeout of 0 keeps the default, 20 s.
func WithKeepalive(p keepalive.ClientParameters) Option {
	k := &policy.Keepalive{Time: &p.Time, PermitWithoutStream: &p.PermitWithoutStream}
	if p.Timeout != 0 {
		k.Timeout = &p.Timeout
	}
	return connection("WithKeepalive", &policy.Connection{Keepalive: k})
}

// WithConnectBackoff sets the delays between attempts to connect, as connection.connect_backoff in the schema does. Jitter
// is always gRPC's 0.2; the field is not read.
func WithConnectBackoff(c backoff.Config) Option {
	return connection("WithConnectBackoff", &policy.Connection{
		ConnectBackoff: &policy.Backoff{Initial: &c.BaseDelay, Max: &c.MaxDelay, Multiplier: &c.Multiplier},
	})
}

// WithMinConnectTimeout gives an attempt to connect at least d. Default: 20 s.
func WithMinConnectTimeout(d time.Duration) Option {
	return connection("WithMinConnectTimeout", &policy.Connection{MinConnectTimeout: &d})
}

// WithIdleTimeout closes connections after d without calls; 0 never does. Default: 30 min.
func WithIdleTimeout(d time.Duration) Option {
	return connection("WithIdleTimeout", &policy.Connection{IdleTimeout: &d})
}

// WithUserAgent puts agent before gRPC's own user agent.
func WithUserAgent(agent string) Option {
	return connection("WithUserAgent", &policy.Connection{UserAgent: &agent})
}

// WithAuthority sets the :authority header, which is also the name that TLS verifies. Default: the endpoint's own host where a
// target gives a list of endpoints (static, env, file, memory, etcd), the name in the target for others.
func WithAuthority(authority string) Option {
	return connection("WithAuthority", &policy.Connection{Authority: &authority})
}

// WithStatsHandler adds a grpc stats handler; it sees attempts. Several add up.
func WithStatsHandler(h stats.Handler) Option {
	return channelOption("WithStatsHandler", func(s *Settings) {
		if h == nil {
			s.fail("WithStatsHandler(nil) gives no handler; remove it")
			return
		}
		s.dialOptions = append(s.dialOptions, grpc.WithStatsHandler(h))
	})
}

// WithUnaryInterceptor adds interceptors that run once per unary call, around everything that policy does. The first is
// the outermost. They get a nil *grpc.ClientConn when [WithConn] gave something else. Several add up.
func WithUnaryInterceptor(interceptors ...grpc.UnaryClientInterceptor) Option {
	return optionFunc(func(s *Settings) { s.unary = appendChecked(s, "WithUnaryInterceptor", s.unary, interceptors) })
}

// WithStreamInterceptor adds interceptors that run once per stream, around everything that policy does. The first is the
// outermost. They get a nil *grpc.ClientConn when [WithConn] gave something else. Several add up.
func WithStreamInterceptor(interceptors ...grpc.StreamClientInterceptor) Option {
	return optionFunc(func(s *Settings) { s.stream = appendChecked(s, "WithStreamInterceptor", s.stream, interceptors) })
}

// WithAttemptInterceptor adds interceptors that run for each attempt of a unary call, within what policy does. The first is
// the outermost. Several add up. All attempts of a call share its request, and with hedging they run at the same time, on
// goroutines of their own: an interceptor that wants another request passes on a changed copy. The options and the reply are
// the attempt's own.
func WithAttemptInterceptor(interceptors ...grpc.UnaryClientInterceptor) Option {
	return optionFunc(func(s *Settings) {
		s.attemptUnary = appendChecked(s, "WithAttemptInterceptor", s.attemptUnary, interceptors)
	})
}

// WithStreamAttemptInterceptor adds interceptors that run within what policy does to a stream. grpc's replay of a stream
// happens beneath them. The first is the outermost. Several add up.
func WithStreamAttemptInterceptor(interceptors ...grpc.StreamClientInterceptor) Option {
	return optionFunc(func(s *Settings) {
		s.attemptStreams = appendChecked(s, "WithStreamAttemptInterceptor", s.attemptStreams, interceptors)
	})
}

// WithDialOptions passes options to grpc as they are, for what has no option here. Credentials, resolvers and the default
// service config have: given here they are replaced by this package's. Interceptors given here run for each attempt; those
// of streams also see an empty call from time to time while a constructor or WaitReady keeps an idle channel awake. Several
// add up.
func WithDialOptions(options ...grpc.DialOption) Option {
	return channelOption("WithDialOptions", func(s *Settings) { s.raw = appendChecked(s, "WithDialOptions", s.raw, options) })
}

// appendChecked appends values to list, but for those that are nil, which it reports.
func appendChecked[T any](s *Settings, option string, list, values []T) []T {
	for i, v := range values {
		if r := reflect.ValueOf(&v).Elem(); r.IsNil() {
			s.fail("%s: argument %d is nil; remove it", option, i+1)
			continue
		}
		list = append(list, v)
	}
	return list
}

// channelPolicy is an option with a policy field that belongs to the channel.
func channelPolicy(name string, p *policy.Service) Option {
	return channelOption(name, func(s *Settings) { s.addPolicy(name, p) })
}

func connection(name string, c *policy.Connection) Option {
	return channelPolicy(name, &policy.Service{Connection: c})
}
