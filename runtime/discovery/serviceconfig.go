package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/policy"
)

// ServiceConfig is a gRPC service config taken apart: what becomes policy, and what stays with grpc. It is immutable.
// Its form is that of https://github.com/grpc/grpc/blob/master/doc/service_config.md.
type ServiceConfig struct {
	loadBalancing *policy.LoadBalancing
	healthService *string
	methods       []methodConfig
	rest          map[string]json.RawMessage // of the top level
}

type methodConfig struct {
	names  []methodName
	fields map[string]json.RawMessage // all but "name"
	policy policy.Method              // what of the fields has a place in policy
}

// methodName selects RPCs: of a service, or all if Service is "".
type methodName struct {
	Service string `json:"service,omitempty"`
	Method  string `json:"method,omitempty"`
}

// RPC is one RPC that a client governs, for [ServiceConfig.Render].
type RPC struct {
	Service, Method string
	// Streaming is whether it is a stream. grpc never retries a unary call that a client governs.
	Streaming bool
	// Retry is the policy by which grpc replays a stream, complete; nil for that of the service config.
	Retry *policy.Retry
}

func (r RPC) name() methodName { return methodName{r.Service, r.Method} }

// ParseServiceConfig reads a service config; "" is an empty one. The error names every problem.
func ParseServiceConfig(js string) (*ServiceConfig, error) {
	sc := &ServiceConfig{rest: make(map[string]json.RawMessage)}
	if strings.TrimSpace(js) == "" {
		return sc, nil
	}
	if err := json.Unmarshal([]byte(js), &sc.rest); err != nil {
		return nil, fmt.Errorf("service config: %w; write a JSON object", err)
	}
	maps.DeleteFunc(sc.rest, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	if sc.rest == nil { // null
		return nil, errors.New("service config: null is no service config; write a JSON object")
	}
	var errs []error
	if err := sc.takeLoadBalancing(); err != nil {
		errs = append(errs, err)
	}
	if err := sc.takeHealthCheck(); err != nil {
		errs = append(errs, err)
	}
	if err := sc.takeMethods(); err != nil {
		errs = append(errs, err)
	}
	// Each push of a config refills grpc's throttle, and grpc retries no unary call that policy governs.
	delete(sc.rest, "retryThrottling")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return sc, nil
}

// takeLoadBalancing chooses the first policy of the list that is known, as grpc does, and turns it into ours.
func (sc *ServiceConfig) takeLoadBalancing() error {
	list, name := sc.rest["loadBalancingConfig"], sc.rest["loadBalancingPolicy"]
	delete(sc.rest, "loadBalancingConfig")
	delete(sc.rest, "loadBalancingPolicy")
	if list == nil {
		return sc.takeLoadBalancingName(name)
	}
	var arms []map[string]json.RawMessage
	if err := json.Unmarshal(list, &arms); err != nil {
		return fmt.Errorf("service config: loadBalancingConfig: %w; write a list of objects, such as [{\"round_robin\":{}}]", err)
	}
	var unknown []string
	for _, arm := range arms {
		if len(arm) != 1 {
			return fmt.Errorf("service config: loadBalancingConfig: an object with %d policies; write one policy per object", len(arm))
		}
		for name, config := range arm {
			lb, known, err := loadBalancing(name, config)
			if err != nil {
				return fmt.Errorf("service config: loadBalancingConfig: %s: %w", name, err)
			}
			if known {
				sc.loadBalancing = lb
				return nil
			}
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	return fmt.Errorf("service config: loadBalancingConfig: none of the policies %s is registered; import one, or name another", strings.Join(unknown, ", "))
}

func (sc *ServiceConfig) takeLoadBalancingName(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		return fmt.Errorf("service config: loadBalancingPolicy: %w; write a name in quotes", err)
	}
	lb, known, err := loadBalancing(strings.ToLower(name), nil)
	if err != nil || !known {
		return fmt.Errorf("service config: loadBalancingPolicy: %q is not registered; import it, or name another", name)
	}
	sc.loadBalancing = lb
	return nil
}

// ownPolicy is the name under which runtime/balancer registers itself; naming it asks for nothing in particular.
const ownPolicy = "goresilient"

func loadBalancing(name string, config json.RawMessage) (lb *policy.LoadBalancing, known bool, err error) {
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	switch name {
	case ownPolicy:
		return nil, true, nil
	case "pick_first":
		var c struct {
			ShuffleAddressList bool `json:"shuffleAddressList"`
		}
		err := json.Unmarshal(config, &c)
		return &policy.LoadBalancing{PickFirst: &policy.PickFirst{Shuffle: policy.Set(c.ShuffleAddressList)}}, true, err
	case "round_robin":
		return &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}, true, nil
	case "weighted_round_robin":
		lb, err := weightedRoundRobin(config)
		return lb, true, err
	case "least_request_experimental":
		c := struct {
			ChoiceCount int `json:"choiceCount"`
		}{2}
		err := json.Unmarshal(config, &c)
		// gRFC A48: a larger count is taken as 10.
		return &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: policy.Set(min(c.ChoiceCount, 10))}}, true, err
	}
	builder := balancer.Get(name)
	if builder == nil {
		return nil, false, nil
	}
	if p, ok := builder.(balancer.ConfigParser); ok {
		if _, err := p.ParseConfig(config); err != nil {
			return nil, true, err
		}
	}
	return &policy.LoadBalancing{Custom: &policy.Custom{Name: policy.Set(name), ConfigJSON: policy.Set(string(config))}}, true, nil
}

func (sc *ServiceConfig) takeHealthCheck() error {
	raw := sc.rest["healthCheckConfig"]
	delete(sc.rest, "healthCheckConfig")
	if raw == nil {
		return nil
	}
	var c struct {
		ServiceName *string `json:"serviceName"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("service config: healthCheckConfig: %w", err)
	}
	sc.healthService = c.ServiceName
	return nil
}

func (sc *ServiceConfig) takeMethods() error {
	raw := sc.rest["methodConfig"]
	delete(sc.rest, "methodConfig")
	if raw == nil {
		return nil
	}
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("service config: methodConfig: %w; write a list of objects", err)
	}
	var errs []error
	for i, fields := range list {
		mc := methodConfig{fields: fields}
		if err := mc.parse(); err != nil {
			errs = append(errs, fmt.Errorf("service config: methodConfig[%d]: %w", i, err))
			continue
		}
		sc.methods = append(sc.methods, mc)
	}
	return errors.Join(errs...)
}

func (mc *methodConfig) parse() error {
	if raw := mc.fields["name"]; raw != nil {
		if err := json.Unmarshal(raw, &mc.names); err != nil {
			return fmt.Errorf("name: %w", err)
		}
	}
	delete(mc.fields, "name")
	return errors.Join(
		readField(mc.fields, "timeout", func(s string) error {
			d, err := parseProtoDuration(s)
			mc.policy.Timeout = &policy.Timeout{Total: policy.Set(d)}
			mc.policy.StreamTimeout = &policy.StreamTimeout{Total: policy.Set(d)}
			return err
		}),
		readField(mc.fields, "waitForReady", func(b bool) error { mc.policy.WaitForReady = &b; return nil }),
		readField(mc.fields, "maxRequestMessageBytes", func(n int) error { mc.policy.MaxRequestBytes = &n; return nil }),
		readField(mc.fields, "maxResponseMessageBytes", func(n int) error { mc.policy.MaxResponseBytes = &n; return nil }),
		readField(mc.fields, "retryPolicy", func(r retryPolicy) error { return r.take(&mc.policy) }),
	)
}

func readField[T any](fields map[string]json.RawMessage, name string, set func(T) error) error {
	raw, ok := fields[name]
	if !ok {
		return nil
	}
	if string(raw) == "null" { // as good as absent
		return nil
	}
	var v T
	if s, quoted := strings.CutPrefix(string(raw), `"`); quoted && !isString(v) {
		raw = json.RawMessage(strings.TrimSuffix(s, `"`)) // proto3 JSON may quote a number
	}
	err := json.Unmarshal(raw, &v)
	if err == nil {
		err = set(v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func isString(v any) bool { _, ok := v.(string); return ok }

// parseProtoDuration reads the JSON form of google.protobuf.Duration: "1.5s".
func parseProtoDuration(s string) (time.Duration, error) {
	number, ok := strings.CutSuffix(s, "s")
	if _, err := strconv.ParseFloat(number, 64); !ok || err != nil {
		return 0, fmt.Errorf(`%q is not a duration; write seconds, such as "0.25s"`, s)
	}
	d, err := time.ParseDuration(s)
	switch {
	case strings.HasPrefix(number, "-"):
		return 0, fmt.Errorf(`%q is not a duration in range; write seconds, such as "0.25s"`, s)
	case err != nil: // more than 292 years
		return math.MaxInt64, nil
	}
	return d, nil
}

// LoadBalancing returns the balancing policy that the config names, nil if it names none.
func (sc *ServiceConfig) LoadBalancing() *policy.LoadBalancing { return sc.loadBalancing }

// HealthService returns the service to ask for health, nil if the config asks for no health checking.
func (sc *ServiceConfig) HealthService() *string { return sc.healthService }

// Method returns what the config says of an RPC as policy: deadlines, wait for ready, message sizes, and retries, which for a
// stream are grpc's own. It is nil if the config says nothing of it. The most specific entry counts, as in grpc: of the RPC, of its service, of everything.
func (sc *ServiceConfig) Method(service, method string) *policy.Method {
	mc := sc.find(service, method)
	if mc == nil {
		return nil
	}
	return &mc.policy
}

func (sc *ServiceConfig) find(service, method string) *methodConfig {
	for _, want := range []methodName{{service, method}, {service, ""}, {"", ""}} {
		for i := range sc.methods {
			if slices.Contains(sc.methods[i].names, want) {
				return &sc.methods[i]
			}
		}
	}
	return nil
}

// taken are the fields of a method config that policy carries out, for any RPC.
var taken = []string{"timeout", "waitForReady", "maxRequestMessageBytes", "maxResponseMessageBytes"}

// Render writes the config that grpc gets: the goresilient policy on top, health checking as given, and for each of rpcs an
// entry of its own without what policy carries out, so that higher levels of policy may say otherwise. What is left, the
// retryPolicy of streams, and the entries of other services stay.
func (sc *ServiceConfig) Render(rpcs []RPC, healthService *string) string {
	out := maps.Clone(sc.rest)
	out["loadBalancingConfig"] = json.RawMessage(`[{"` + ownPolicy + `":{}}]`)
	if healthService != nil {
		out["healthCheckConfig"] = marshal(map[string]string{"serviceName": *healthService})
	}
	if methods := sc.renderMethods(rpcs); len(methods) > 0 {
		out["methodConfig"] = marshal(methods)
	}
	return string(marshal(out))
}

func (sc *ServiceConfig) renderMethods(rpcs []RPC) []map[string]any {
	var entries []map[string]any
	governed := make(map[methodName]bool)
	for _, r := range rpcs {
		name := r.name()
		if governed[name] {
			continue
		}
		fields := sc.renderMethod(r)
		if fields == nil {
			continue
		}
		governed[name] = true
		entries = append(entries, entry([]methodName{name}, fields))
	}
	for _, mc := range sc.methods {
		names := slices.DeleteFunc(slices.Clone(mc.names), func(n methodName) bool { return governed[n] })
		if len(names) > 0 {
			entries = append(entries, entry(names, mc.fields))
		}
	}
	return entries
}

// renderMethod returns what grpc gets of an RPC, nil if there is nothing to say.
func (sc *ServiceConfig) renderMethod(r RPC) map[string]json.RawMessage {
	mc := sc.find(r.Service, r.Method)
	if mc == nil && r.Retry == nil {
		return nil
	}
	fields := make(map[string]json.RawMessage)
	if mc != nil {
		fields = maps.Clone(mc.fields)
	}
	for _, f := range taken {
		delete(fields, f)
	}
	switch {
	case !r.Streaming, r.Retry != nil && policy.Value(r.Retry.Disabled):
		delete(fields, "retryPolicy")
	case r.Retry != nil:
		fields["retryPolicy"] = renderRetry(r.Retry)
	}
	return fields
}

func entry(names []methodName, fields map[string]json.RawMessage) map[string]any {
	e := map[string]any{"name": names}
	for k, v := range fields {
		e[k] = v
	}
	return e
}

// marshal writes values that were JSON before.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("discovery: service config: %v", err)) // unreachable: strings and raw messages that were parsed
	}
	return b
}
