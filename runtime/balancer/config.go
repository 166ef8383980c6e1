package balancer

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/serviceconfig"

	"github.com/goresilient/goresilient/runtime/policy"
)

// Config is how a [Channel] balances. It is immutable once it is given to one.
type Config struct {
	// LoadBalancing is a completed policy (see [policy.Complete]) with one arm. nil: round_robin.
	LoadBalancing *policy.LoadBalancing
	// OutlierDetection is a completed policy. nil: off. It does nothing with pick_first or a custom policy.
	OutlierDetection *policy.OutlierDetection
	// Zone is the client's own, for zone_aware; "" if it is unknown.
	Zone string
	// HealthService is the service that health checks ask for, "" for the server as a whole; nil: no health checks.
	// The healthCheckConfig of the service config that grpc has at the same time must agree.
	HealthService *string
}

// The arms of [policy.LoadBalancing] that this package carries out.
const (
	armPickFirst          = "pick_first"
	armRoundRobin         = "round_robin"
	armLeastRequest       = "least_request"
	armPeakEwma           = "peak_ewma"
	armAdaptive           = "adaptive"
	armConsistentHash     = "consistent_hash"
	armWeightedRoundRobin = "weighted_round_robin"
	armCustom             = "custom"
)

const (
	defaultChoices = 2
	maxChoices     = 10
	defaultDecay   = 10 * time.Second
)

// arm returns the arm that is set, round_robin if none is.
func (c Config) arm() string {
	if arm := c.LoadBalancing.Arm(); arm != "" {
		return arm
	}
	return armRoundRobin
}

// choices returns d of least_request.
func (c Config) choices() int {
	if lr := c.LoadBalancing.LeastRequest; lr.Choices != nil {
		return *lr.Choices
	}
	return defaultChoices
}

// decay returns the time constant of peak_ewma.
func (c Config) decay() time.Duration {
	if d := c.LoadBalancing.PeakEwma.Decay; d != nil {
		return *d
	}
	return defaultDecay
}

// policyName returns the name under which grpc knows the policy of a child: pick_first or that of a custom arm; "" for
// the arms that pick from the pool.
func (c Config) policyName() string {
	switch c.arm() {
	case armPickFirst:
		return pickfirst.Name
	case armCustom:
		return policy.Value(c.LoadBalancing.Custom.Name)
	default:
		return ""
	}
}

// policyJSON returns the configuration of the child policy.
func (c Config) policyJSON() json.RawMessage {
	if c.arm() == armPickFirst {
		return fmt.Appendf(nil, `{"shuffleAddressList":%t}`, policy.Value(c.LoadBalancing.PickFirst.Shuffle))
	}
	if js := policy.Value(c.LoadBalancing.Custom.ConfigJSON); js != "" {
		return json.RawMessage(js)
	}
	return json.RawMessage("{}")
}

// ValidateConfig reports why cfg cannot be carried out, nil if it can. The error is a [policy.Problems] with everything
// that is wrong, its paths relative to the service policy.
func ValidateConfig(cfg Config) error {
	var ps policy.Problems
	problem := func(path, format string, args ...any) {
		ps = append(ps, policy.Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	switch arm := cfg.LoadBalancing.Arm(); arm {
	case "":
		problem("load_balancing", "has no policy; set one, such as round_robin: {}")
	case armPickFirst, armRoundRobin, armAdaptive:
	case armPeakEwma:
		if d := cfg.decay(); d <= 0 {
			problem("load_balancing.peak_ewma.decay", "%v is out of range; write a duration above 0, such as \"10s\"", d)
		}
	case armLeastRequest:
		if d := cfg.choices(); d < 2 || d > maxChoices {
			problem("load_balancing.least_request.choices", "%d is out of range; write 2 to %d", d, maxChoices)
		}
	case armWeightedRoundRobin:
		cfg.weighted().check(problem)
	case armConsistentHash:
		cfg.hashed().check(problem)
	case armCustom:
		name := cfg.policyName()
		switch _, _, err := childPolicy(cfg); {
		case name == "":
			problem("load_balancing.custom.name", "is missing; write the name under which the policy is registered with grpc")
		case balancer.Get(name) == nil || name == Name:
			problem("load_balancing.custom.name", "%v", err)
		case err != nil:
			problem("load_balancing.custom.config_json", "%v", err)
		}
	default:
		problem("load_balancing."+arm, "is not carried out by this version of goresilient; write %s, %s, %s, %s, %s, %s, %s or %s",
			armPickFirst, armRoundRobin, armWeightedRoundRobin, armLeastRequest, armPeakEwma, armConsistentHash, armAdaptive,
			armCustom)
	}
	if cfg.criteria().zoned && cfg.Zone == "" {
		problem("load_balancing.zone_aware", "has no zone to prefer: the client does not know its own; "+
			`give it with the Go option WithZone, such as WithZone("eu-west-1a"), or write zone_aware: {disabled: true}`)
	}
	return ps.Err()
}

// childPolicy returns the builder and the parsed configuration of the policy that cfg runs as a child.
func childPolicy(cfg Config) (balancer.Builder, serviceconfig.LoadBalancingConfig, error) {
	name := cfg.policyName()
	if name == Name {
		return nil, nil, fmt.Errorf("%q would run inside itself; set its arms directly, such as round_robin: {}", name)
	}
	builder := balancer.Get(name)
	if builder == nil {
		return nil, nil, fmt.Errorf("no policy is registered with grpc as %q; import the package that registers it", name)
	}
	js := cfg.policyJSON()
	parser, ok := builder.(balancer.ConfigParser)
	if !ok {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(js, &fields); err != nil || len(fields) > 0 {
			return nil, nil, fmt.Errorf("the policy %q takes no configuration, and has %s; write {}", name, js)
		}
		return builder, nil, nil
	}
	parsed, err := parser.ParseConfig(js)
	if err != nil {
		return nil, nil, fmt.Errorf("the policy %q refuses its configuration %s: %w; correct it", name, js, err)
	}
	return builder, parsed, nil
}
