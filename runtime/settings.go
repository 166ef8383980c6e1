package goresilient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Option changes how a client or a channel is made. The options of this package begin with With; the options struct that
// is generated for each service is one too. Of two options about one thing the later one wins, unless its comment says
// that they add up.
type Option interface {
	// ApplyTo writes the option into s.
	ApplyTo(s *Settings)
}

// Settings is what options write into. It is opaque; its one method is for generated code.
type Settings struct {
	errs []error

	policies []policy.Layer // of WithPolicy and of the options that have a policy field
	methods  map[string]methodSettings
	owner    *ServiceDesc // of methods
	service  *ServiceDesc // of the client that is made; nil for a channel

	channel *Channel
	conn    grpc.ClientConnInterface
	// channelOptions are the names of the options given that only a channel can carry out, e.g., "WithTLS".
	channelOptions []string

	targets       []string // of WithTargets; nil unless it was given
	creds         credentials.TransportCredentials
	credsOption   string // e.g., "WithTLS"; "" if none was given
	bundle        credentials.Bundle
	insecure      bool
	perRPC        []credentials.PerRPCCredentials
	resolvers     []resolver.Builder
	serviceConfig *discovery.ServiceConfig
	direct        bool   // no proxy is asked
	zone          string // the client's own; "" if unknown
	resolveHost   func(ctx context.Context, host string) ([]string, error)
	dialOptions   []grpc.DialOption // of options with a meaning of their own
	raw           []grpc.DialOption // of WithDialOptions

	unary          []grpc.UnaryClientInterceptor
	stream         []grpc.StreamClientInterceptor
	attemptUnary   []grpc.UnaryClientInterceptor
	attemptStreams []grpc.StreamClientInterceptor

	observers []Observer

	overrides   *Overrides
	ctx         context.Context
	environment environment
}

// methodSettings is what the options struct of a service says of one RPC.
type methodSettings struct {
	policy   *policy.Method
	fallback any
}

// SetMethods takes the fields of a generated options struct, in the order of the service's RPCs. Only generated code calls
// it.
func (s *Settings) SetMethods(service *ServiceDesc, methods ...MethodOptions) {
	if s.owner != nil && s.owner != service || s.service != nil && s.service != service {
		other := s.service
		if other == nil {
			other = s.owner
		}
		s.fail("the options of service %s were given to a client of %s; give each client the options generated with it", service.Name, other.Name)
		return
	}
	if s.service == nil {
		s.fail("the options of service %s were given to a channel, which calls no RPC; give them to the client", service.Name)
		return
	}
	s.owner = service
	if s.methods == nil {
		s.methods = make(map[string]methodSettings)
	}
	for i, m := range methods {
		name := service.Methods[i].Name
		merged := s.methods[name]
		if p := m.methodPolicy(); p != nil {
			s.check(fmt.Sprintf("%s.Policy", name), policy.Validate(p))
			merged.policy = policy.Merge(merged.policy, p)
		}
		if f := m.fallback(); f != nil {
			merged.fallback = f
		}
		s.methods[name] = merged
	}
}

func (s *Settings) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// check records the problems of a policy value given in Go.
func (s *Settings) check(where string, ps policy.Problems) {
	for _, p := range ps.In(where) {
		s.errs = append(s.errs, p)
	}
}

func (s *Settings) addPolicy(where string, p *policy.Service) {
	s.check(where, policy.Validate(p))
	s.policies = append(s.policies, policy.Layer{Level: policy.LevelOption, Source: where, Service: policy.Clone(p)})
}

func (s *Settings) forChannel(option string) {
	if !slices.Contains(s.channelOptions, option) {
		s.channelOptions = append(s.channelOptions, option)
	}
}

// optionLayers returns the Go options as policy, lowest first.
func (s *Settings) optionLayers() []policy.Layer {
	layers := slices.Clone(s.policies)
	methods := make(map[string]*policy.Method)
	for name, m := range s.methods {
		if m.policy != nil {
			methods[name] = m.policy
		}
	}
	if len(methods) > 0 {
		layers = append(layers, policy.Layer{Level: policy.LevelOption, Methods: methods})
	}
	return layers
}

// newSettings applies opts. What is wrong with them is reported together, by err.
func newSettings(service *ServiceDesc, opts []Option) *Settings {
	s := &Settings{service: service, ctx: context.Background(), environment: processEnvironment(), resolveHost: net.DefaultResolver.LookupHost}
	for i, o := range opts {
		if o == nil {
			s.fail("option %d is nil; remove it", i+1)
			continue
		}
		o.ApplyTo(s)
	}
	return s
}

// checkCombinations reports options that do not go together.
func (s *Settings) checkCombinations() {
	if s.channel != nil && s.conn != nil {
		s.fail("WithChannel and WithConn were both given; a client has one connection: remove one")
	}
	if s.conn != nil {
		for _, l := range s.policies {
			for path, v := range policy.Fields(l.Service) {
				if scope, _ := policy.ScopeOf(path); scope == policy.ScopeChannel && v != nil && !slices.Contains(s.channelOptions, l.Source) {
					s.fail("%s sets %s, which cannot change the connection that WithConn gives; set it where the connection is made", l.Source, path)
				}
			}
		}
	}
	if given := s.channelOptions; len(given) > 0 {
		switch {
		case s.channel != nil:
			s.fail("%s cannot change the channel that WithChannel gives; pass it to NewChannel", strings.Join(given, ", "))
		case s.conn != nil:
			s.fail("%s cannot change the connection that WithConn gives; set it where the connection is made", strings.Join(given, ", "))
		}
	}
}

// checkChannelPolicies reports what options for a channel say of calls, which a channel does not make.
func (s *Settings) checkChannelPolicies() {
	for _, l := range s.policies {
		for path, v := range policy.Fields(l.Service) {
			scope, _ := policy.ScopeOf(path)
			if scope != policy.ScopeChannel && v != nil && path != "dial" && !strings.HasPrefix(path, "dial.") {
				s.fail("%s sets %s, which belongs to a client, which makes calls; give it to the client", l.Source, path)
			}
		}
	}
}

func (s *Settings) err() error { return errors.Join(s.errs...) }

type optionFunc func(*Settings)

func (f optionFunc) ApplyTo(s *Settings) { f(s) }

// channelOption is an option that a shared or foreign connection has no use for.
func channelOption(name string, f func(*Settings)) Option {
	return optionFunc(func(s *Settings) {
		s.forChannel(name)
		f(s)
	})
}
