package goresilient

import (
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// backoffJitter is grpc's: a delay is spread by a fifth to either side.
const backoffJitter = 0.2

// start makes the grpc connection, which dials nothing yet. ch.mu is held.
func (ch *Channel) start() error {
	if ch.policy.Target == nil {
		return errors.New("no target is known; write (goresilient.v1.service).target in the schema, or pass WithTarget")
	}
	target, builder, err := ch.resolver()
	if err != nil {
		if o := ch.origins["target"]; o.Level == policy.LevelEnvironment {
			return fmt.Errorf("%v: %w", o, err)
		}
		return err
	}
	s := ch.settings
	wrapper := discovery.Wrap(builder, s.serviceConfig, ch.hooks())
	creds, files, err := s.openCredentials()
	if err != nil {
		return err
	}
	opts := append([]grpc.DialOption{grpc.WithResolvers(wrapper.Builder())}, connectionOptions(ch.policy.Connection)...)
	opts = append(opts, s.dialOptions...)
	opts = append(opts, s.raw...)
	// Last, so that a raw option cannot take away what was checked.
	opts = append(opts, creds...)
	// Holds until the resolver's first state, and if a raw option makes grpc ignore the configs of resolvers.
	opts = append(opts, grpc.WithDefaultServiceConfig(ch.config.Render(nil, ch.healthService())))
	cc, err := grpc.NewClient(target.URL.String(), opts...)
	if err != nil {
		if files != nil {
			files.close()
		}
		return fmt.Errorf("target %q: %w", *ch.policy.Target, err)
	}
	ch.xds.Store(wrapper.Scheme() == "xds")
	ch.transport = transport{cc: cc, wrapper: wrapper, files: files, started: ch.policy, startedFrom: make(policy.Origins)}
	for path, o := range ch.origins {
		if _, start := policy.ScopeOf(path); start {
			ch.startedFrom[path] = o
		}
	}
	return nil
}

// openCredentials returns the credentials for one channel, with whatever it has to close.
func (s *Settings) openCredentials() ([]grpc.DialOption, *fileCredentials, error) {
	f, ok := s.creds.(*fileCredentials)
	if !ok {
		return s.credentialOptions(), nil, nil
	}
	opened, err := f.open()
	if err != nil {
		return nil, nil, fmt.Errorf("WithTLSFiles: %w", err)
	}
	forChannel := *s
	forChannel.creds = opened
	return forChannel.credentialOptions(), opened, nil
}

// connectionOptions turns the connection policy, which is complete, into grpc's options.
func connectionOptions(c *policy.Connection) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  *c.ConnectBackoff.Initial,
				Multiplier: *c.ConnectBackoff.Multiplier,
				Jitter:     backoffJitter,
				MaxDelay:   *c.ConnectBackoff.Max,
			},
			MinConnectTimeout: *c.MinConnectTimeout,
		}),
		grpc.WithIdleTimeout(*c.IdleTimeout),
	}
	if c.UserAgent != nil {
		opts = append(opts, grpc.WithUserAgent(*c.UserAgent))
	}
	if c.Authority != nil {
		opts = append(opts, grpc.WithAuthority(*c.Authority))
	}
	if k := c.Keepalive; k != nil && !*k.Disabled {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                *k.Time,
			Timeout:             *k.Timeout,
			PermitWithoutStream: *k.PermitWithoutStream,
		}))
	}
	return opts
}
