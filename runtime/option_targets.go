package goresilient

import (
	"slices"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// withTargets is the name of the option among the origins of policy.
const withTargets = "WithTargets"

// WithTargets sets several places where the service is, the best first: calls go to the endpoints of primary as long as
// enough of them are well, and to those of a backup after that, as load_balancing.failover says.
//
//	goresilient.WithTargets("etcd:///inventory", "dns:///inventory.dr.example:443")
//
// Each target is of any scheme, as in [WithTarget], but xds. Endpoints of one target come before all of the next,
// whatever their own priorities. What is wrong with one target's discovery leaves the others in use, and stands in
// Snapshot.Discovery. The channel's authority and proxy are those of primary; TLS verifies each endpoint as if its target
// stood alone. [discovery.Targets] has the details.
//
// Of WithTarget and WithTargets the later wins. A target that the environment or an override sets replaces all of them.
func WithTargets(primary string, backup ...string) Option {
	return channelOption(withTargets, func(s *Settings) {
		s.targets = append([]string{primary}, backup...)
		// What is wrong with them is reported by checkTargets, with all resolvers known.
		s.policies = append(s.policies, policy.Layer{Level: policy.LevelOption, Source: withTargets, Service: &policy.Service{Target: &s.targets[0]}})
	})
}

// checkTargets reports what is wrong with the targets of WithTargets, unless a later option replaces them.
func (s *Settings) checkTargets() {
	for _, l := range slices.Backward(s.policies) {
		switch {
		case l.Service == nil || l.Service.Target == nil:
			continue
		case l.Source == withTargets:
			if _, err := discovery.NewTargets(discovery.Lookup(s.resolvers), s.targets[0], s.targets[1:]...); err != nil {
				s.fail("%s: %w", withTargets, err)
			}
		}
		return
	}
}

// targets returns the targets in force, of which there is at least one; ch.mu is held.
func (ch *Channel) targets() []string {
	if s, o := ch.settings, ch.origins["target"]; len(s.targets) > 0 && o.Level == policy.LevelOption && o.Source == withTargets {
		return s.targets
	}
	return []string{*ch.policy.Target}
}

// resolver returns the target to give to grpc, and the builder of its resolver; ch.mu is held.
func (ch *Channel) resolver() (discovery.Target, resolver.Builder, error) {
	targets := ch.settings.viaProxy(ch.targets())
	if len(targets) > 1 {
		several, err := discovery.NewTargets(ch.lookup(), targets[0], targets[1:]...)
		if err != nil {
			return discovery.Target{}, nil, err
		}
		return several.Primary(), several, nil
	}
	target, builder, err := discovery.ParseTarget(targets[0], ch.lookup())
	if err != nil {
		return target, nil, err
	}
	if c, ok := builder.(discovery.Checker); ok {
		err = c.Check(target)
	}
	return target, builder, err
}
