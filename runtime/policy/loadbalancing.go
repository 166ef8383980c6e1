package policy

import (
	"reflect"
	"time"
)

// LoadBalancing chooses the endpoint of an attempt.
type LoadBalancing struct {
	// The first address that connects. Channel, hot.
	PickFirst *PickFirst `policy:"pick_first,oneof=policy"`
	// Each in turn. Channel, hot.
	RoundRobin *RoundRobin `policy:"round_robin,oneof=policy"`
	// In turn, in proportion to reported (ORCA, gRFC A58) or static weight. Channel, hot.
	WeightedRoundRobin *WeightedRoundRobin `policy:"weighted_round_robin,oneof=policy"`
	// The least loaded of a few chosen at random. Channel, hot.
	LeastRequest *LeastRequest `policy:"least_request,oneof=policy"`
	// The lowest peak-sensitive moving average of latency (Finagle). Channel, hot.
	PeakEwma *PeakEwma `policy:"peak_ewma,oneof=policy"`
	// The endpoint that owns traits.hash_key, with bounded load. Channel, hot.
	ConsistentHash *ConsistentHash `policy:"consistent_hash,oneof=policy"`
	// Least of latency, age of the oldest call and in-flight, together. The default. Channel, hot.
	Adaptive *Adaptive `policy:"adaptive,oneof=policy"`
	// A policy registered with grpc under a name of its own. Channel, hot.
	Custom *Custom `policy:"custom,oneof=policy"`
	// Endpoints that this client connects to, chosen by rendezvous hashing (gRFC A68). Endpoints, 0 to 1000000;
	// 0: all. Default: 0. Channel, hot.
	SubsetSize *int `policy:"subset_size" range:"[0,1000000]" default:"0"`
	// Prefer endpoints of the client's own zone. Default: off. Channel, hot.
	ZoneAware *ZoneAware `policy:"zone_aware"`
	// Raise the share of an endpoint that has just become ready. Default: off. Channel, hot.
	SlowStart *SlowStart `policy:"slow_start"`
	// When fewer than this share of endpoints are eligible, all are. A share, in [0, 1]; 0: never. Default:
	// 0.5. Channel, hot.
	PanicRatio *float64 `policy:"panic_ratio" range:"[0,1]" default:"0.5"`
	// When calls leave the endpoints of the best priority for those of the next, and when they come back. It
	// does nothing while all endpoints have one priority. Default: on. Channel, hot.
	Failover *Failover `policy:"failover"`

	replaced bool // an arm was replaced while merging; see oneofHolder
}

// Arm returns the name of the load balancing policy that is set, e.g., "round_robin"; "" if none is.
func (lb *LoadBalancing) Arm() string {
	if lb == nil {
		return ""
	}
	v := reflect.ValueOf(lb).Elem()
	s := schemaOf(v.Type())
	for i := range s.fields {
		if f := &s.fields[i]; f.oneof != "" && isSet(fieldValue(v, f)) {
			return f.name
		}
	}
	return ""
}

// PickFirst has gRPC's meaning (gRFC A62): one connection at a time, in the order of the list.
type PickFirst struct {
	// Try addresses in random order. Default: false. Channel, hot.
	Shuffle *bool `policy:"shuffle" default:"false"`
}

// RoundRobin has nothing to set: each endpoint in turn, from a random start.
type RoundRobin struct{}

// WeightedRoundRobin follows gRFC A58.
type WeightedRoundRobin struct {
	// After this long without a report, the static weight is used. A duration > 0. Default: "3m". Channel, hot.
	WeightExpiration *time.Duration `policy:"weight_expiration" range:"(0s,)" default:"3m"`
	// A new endpoint's reports are ignored for this long. A duration; "0s": not at all. Default: "10s".
	// Channel, hot.
	Blackout *time.Duration `policy:"blackout" range:"[0s,)" default:"10s"`
	// Between two looks at the reported weights. A duration, at least "100ms". Default: "1s". Channel, hot.
	UpdatePeriod *time.Duration `policy:"update_period" range:"[100ms,)" default:"1s"`
	// How much errors lower a weight: it is divided by (utilization + error rate / call rate x this). 0 to
	// 1000. Default: 1. Channel, hot.
	ErrorPenalty *float64 `policy:"error_penalty" range:"[0,1000]" default:"1"`
	// Ask endpoints for reports outside of calls, this often. A duration; "0s": reports come with calls.
	// Default: "0s". Channel, hot.
	OutOfBandPeriod *time.Duration `policy:"out_of_band_period" range:"[0s,)" default:"0s"`
}

// LeastRequest is the power of d choices: of d endpoints drawn at random, the one with the fewest calls of this
// client in flight (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
type LeastRequest struct {
	// d. Endpoints, 2 to 10. Default: 2. Channel, hot.
	Choices *int `policy:"choices" range:"[2,10]" default:"2"`
}

// PeakEwma follows Finagle: latency x (in flight + 1), where the average jumps to a peak at once and decays
// slowly.
type PeakEwma struct {
	// Time constant of the average. A duration > 0. Default: "10s". Channel, hot.
	Decay *time.Duration `policy:"decay" range:"(0s,)" default:"10s"`
}

// ConsistentHash is consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam).
type ConsistentHash struct {
	// An endpoint takes at most this times the mean load. 1 to 100. Default: 1.25. Channel, hot.
	LoadFactor *float64 `policy:"load_factor" range:"[1,100]" default:"1.25"`
	// Metadata key to hash when the RPC has no traits.hash_key: "x-user-id". Default: none. Channel, hot.
	Header *string `policy:"header"`
}

// Adaptive has nothing to set.
type Adaptive struct{}

// Custom is a policy of another module.
type Custom struct {
	// Its registered name. Required. Channel, hot.
	Name *string `policy:"name"`
	// Its configuration, in JSON. Default: "{}". Channel, hot.
	ConfigJSON *string `policy:"config_json" default:"{}"`
}

// ZoneAware keeps calls in the client's zone, which the Go option WithZone names, as long as it has capacity.
type ZoneAware struct {
	// Takes an inherited setting away. Default: false. Channel, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Below this share of healthy local endpoints, calls spill over in proportion. A share, in (0, 1]. Default:
	// 0.7. Channel, hot.
	MinHealthyRatio *float64 `policy:"min_healthy_ratio" range:"(0,1]" default:"0.7"`
}

// SlowStart has Envoy's meaning.
type SlowStart struct {
	// Takes an inherited setting away. Default: false. Channel, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Time to the full share. A duration > 0. Default: "30s". Channel, hot.
	Window *time.Duration `policy:"window" range:"(0s,)" default:"30s"`
	// Share at the start, of the full share. A share, in (0, 1]. Default: 0.1. Channel, hot.
	MinWeightRatio *float64 `policy:"min_weight_ratio" range:"(0,1]" default:"0.1"`
}

// Failover moves calls between endpoints of different priority. Discovery gives each endpoint its priority: 0
// is the best. What it moves, and when, follows Envoy's priority levels and gRFC A56.
type Failover struct {
	// Ignores priorities: all endpoints are one set. Default: false. Channel, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Below this share of eligible endpoints, calls spill over to the next priority in proportion. A share, in
	// (0, 1]. Default: 0.7. Channel, hot.
	MinHealthyRatio *float64 `policy:"min_healthy_ratio" range:"(0,1]" default:"0.7"`
	// A priority of which no endpoint is ready after this long is passed over. A duration > 0. Default: "10s".
	// Channel, hot.
	ConnectTimeout *time.Duration `policy:"connect_timeout" range:"(0s,)" default:"10s"`
	// A better priority must have been well for this long before calls come back to it. A duration; "0s": at
	// once. Default: "5s". Channel, hot.
	FailbackDelay *time.Duration `policy:"failback_delay" range:"[0s,)" default:"5s"`
	// Connections to a priority that is no longer used are closed after this long. A duration; "0s": never.
	// Default: "15m". Channel, hot.
	Retention *time.Duration `policy:"retention" range:"[0s,)" default:"15m"`
}
