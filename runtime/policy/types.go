package policy

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Service is what all calls to a service share: where it is, which endpoint a call goes to, and the guards that
// count all methods together. Guards of one method stand in Method.
type Service struct {
	// Where the service is, as a gRPC target: "env:///INVENTORY_TARGET", "dns:///inventory:443". Not empty.
	// Default: none; without one, the Go option or the environment must name it. Channel, at start.
	Target *string `policy:"target,channel,start"`
	// Which endpoint a call goes to. Default: round_robin. Channel, hot.
	LoadBalancing *LoadBalancing `policy:"load_balancing,channel"`
	// Takes endpoints that do worse than their peers out of rotation. Default: off. Channel, hot.
	OutlierDetection *OutlierDetection `policy:"outlier_detection,channel"`
	// gRPC health checking of each endpoint. Default: off. Channel, hot.
	HealthCheck *HealthCheck `policy:"health_check,channel"`
	// What to do when discovery is doubtful. Default: on. Channel, hot.
	Discovery *Discovery `policy:"discovery,channel"`
	// How the constructor waits for connections. Default: it does not wait. Service, at start.
	Dial *Dial `policy:"dial,service,start"`
	// Transport settings of each connection. Default: gRPC's. Channel, at start.
	Connection *Connection `policy:"connection,channel,start"`
	// Extra attempts (retries and hedges of all methods) in proportion to first attempts. Default: on. Service,
	// hot.
	RetryBudget *RetryBudget `policy:"retry_budget,service"`
	// One breaker over all methods. Default: off. Service, hot.
	CircuitBreaker *CircuitBreaker `policy:"circuit_breaker,service"`
	// One concurrency limit over all methods. Default: off. Service, hot.
	ConcurrencyLimit *ConcurrencyLimit `policy:"concurrency_limit,service"`
	// One rate limit over all methods. Default: off. Service, hot.
	RateLimit *RateLimit `policy:"rate_limit,service"`
	// Adaptive client throttling (Google SRE book, ch. 21). Default: off. Service, hot.
	AdaptiveThrottle *AdaptiveThrottle `policy:"adaptive_throttle,service"`
	// Policy that each method starts from. A guard here is one guard per method. Default: empty. Method, hot.
	MethodDefaults *Method `policy:"method_defaults,method"`
}

// Method is what happens to one call of one RPC.
type Method struct {
	// Deadlines of a unary call; a streaming RPC ignores what it inherits of this. Default: the caller's
	// deadline alone. Method, hot.
	Timeout *Timeout `policy:"timeout"`
	// Deadlines of a stream; a unary RPC ignores what it inherits of this. Default: the caller's deadline
	// alone. Method, hot.
	StreamTimeout *StreamTimeout `policy:"stream_timeout"`
	// Another attempt after a failure. Inherited, it applies only to RPCs whose idempotency_level or traits
	// allow it; written on an RPC that is not idempotent, it is an error. Default: off. Method, hot.
	Retry *Retry `policy:"retry"`
	// Another attempt while the first is slow. Inherited, it applies only to unary RPCs without side effects;
	// written elsewhere, it is an error. Default: off. Method, hot.
	Hedging *Hedging `policy:"hedging"`
	// A breaker of this method alone. Default: off. Method, hot.
	CircuitBreaker *CircuitBreaker `policy:"circuit_breaker"`
	// A concurrency limit of this method alone. Default: off. Method, hot.
	ConcurrencyLimit *ConcurrencyLimit `policy:"concurrency_limit"`
	// A rate limit of this method alone. Default: off. Method, hot.
	RateLimit *RateLimit `policy:"rate_limit"`
	// Wait for a connection instead of failing with UNAVAILABLE. Default: false. Method, hot.
	WaitForReady *bool `policy:"wait_for_ready" default:"false"`
	// Compressor of requests, by its registered gRPC name: "gzip". "identity" takes an inherited one away.
	// Default: none. Method, hot.
	Compressor *string `policy:"compressor"`
	// Largest request. Bytes, 1 to 2147483647. Default: gRPC's, no limit. Method, hot.
	MaxRequestBytes *int `policy:"max_request_bytes" range:"[1,2147483647]"`
	// Largest response. Bytes, 1 to 2147483647. Default: gRPC's, 4 MiB. Method, hot.
	MaxResponseBytes *int `policy:"max_response_bytes" range:"[1,2147483647]"`
}

// Traits are facts about an RPC that only its author can state. They stand in the schema, or in the file given
// to the generator for schemas of others, and never in an override.
type Traits struct {
	// Path of the request field whose value is the key of consistent_hash: "item_id", "user.id". A scalar or an
	// enum, reached through singular fields. Default: none. Method, compiled in.
	HashKey *string `policy:"hash_key"`
	// Why repeating this RPC does no harm although its idempotency_level does not say so: "the server drops a
	// repeated request_id". Allows retry. Default: none. Method, compiled in.
	IdempotentBecause *string `policy:"idempotent_because"`
	// Why sending this RPC twice at once does no harm although its idempotency_level is not NO_SIDE_EFFECTS.
	// Allows retry and hedging. Default: none. Method, compiled in.
	SideEffectFreeBecause *string `policy:"side_effect_free_because"`
}

// LoadBalancing chooses the endpoint of an attempt.
type LoadBalancing struct {
	// The first address that connects. Channel, hot.
	PickFirst *PickFirst `policy:"pick_first,oneof=policy"`
	// Each in turn. The default. Channel, hot.
	RoundRobin *RoundRobin `policy:"round_robin,oneof=policy"`
	// In turn, in proportion to reported (ORCA, gRFC A58) or static weight. Channel, hot.
	WeightedRoundRobin *WeightedRoundRobin `policy:"weighted_round_robin,oneof=policy"`
	// The least loaded of a few chosen at random. Channel, hot.
	LeastRequest *LeastRequest `policy:"least_request,oneof=policy"`
	// The lowest peak-sensitive moving average of latency (Finagle). Channel, hot.
	PeakEwma *PeakEwma `policy:"peak_ewma,oneof=policy"`
	// The endpoint that owns traits.hash_key, with bounded load. Channel, hot.
	ConsistentHash *ConsistentHash `policy:"consistent_hash,oneof=policy"`
	// Least of latency, age of the oldest call and in-flight, together. Channel, hot.
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
	// Ask endpoints for reports outside of calls, this often; "0s": reports come with calls. A duration.
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

// ZoneAware keeps calls in the client's zone as long as it has capacity.
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

// OutlierDetection follows gRFC A50, with consecutive failures and latency added.
type OutlierDetection struct {
	// Takes an inherited setting away. Default: false. Channel, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Counts and reports, ejects nothing. Default: false. Channel, hot.
	Observe *bool `policy:"observe" default:"false"`
	// Time between two looks. A duration, at least "100ms". Default: "10s". Channel, hot.
	Interval *time.Duration `policy:"interval" range:"[100ms,)" default:"10s"`
	// First ejection; it grows with each repetition. A duration > 0. Default: "30s". Channel, hot.
	BaseEjectionTime *time.Duration `policy:"base_ejection_time" range:"(0s,)" default:"30s"`
	// Longest ejection. A duration, at least base_ejection_time. Default: "300s". Channel, hot.
	MaxEjectionTime *time.Duration `policy:"max_ejection_time" range:"(0s,)" default:"300s"`
	// Never more than this share at once, but at least one. A share, in (0, 1]. Default: 0.1. Channel, hot.
	MaxEjectedRatio *float64 `policy:"max_ejected_ratio" range:"(0,1]" default:"0.1"`
	// Failures in a row that eject. Calls, 0 to 1000000; 0: not looked at. Default: 5. Channel, hot.
	ConsecutiveFailures *int `policy:"consecutive_failures" range:"[0,1000000]" default:"5"`
	// Ejects at this share of failures in the interval. A share, in [0, 1]; 0: not looked at. Default: 0.
	// Channel, hot.
	FailureRatio *float64 `policy:"failure_ratio" range:"[0,1]" default:"0"`
	// Ejects below the mean success rate of all endpoints by this many standard deviations. 0 to 100; 0: not
	// looked at. Default: 0. Channel, hot.
	SuccessRateStdevFactor *float64 `policy:"success_rate_stdev_factor" range:"[0,100]" default:"0"`
	// Puts an endpoint on probation whose latency is this multiple of the median of its peers. 0, or > 1 to
	// 1000; 0: not looked at. Default: 0. Channel, hot.
	LatencyFactor *float64 `policy:"latency_factor" range:"[0,1000]" default:"0"`
	// Calls an endpoint needs in the interval to be judged by failure_ratio, success rate or latency. Calls, 1
	// to 1000000. Default: 100. Channel, hot.
	MinimumCalls *int `policy:"minimum_calls" range:"[1,1000000]" default:"100"`
	// Codes that are failures. Not OK. Default: UNAVAILABLE, UNKNOWN, INTERNAL, DATA_LOSS, DEADLINE_EXCEEDED,
	// RESOURCE_EXHAUSTED. Channel, hot.
	Codes []codes.Code `policy:"codes"`
	// Endpoints with minimum_calls that there must be before one is compared with the others. Endpoints, 1 to
	// 1000000. Default: 5. Channel, hot.
	MinimumEndpoints *int `policy:"minimum_endpoints" range:"[1,1000000]" default:"5"`
}

// HealthCheck is gRPC's health protocol (Watch).
type HealthCheck struct {
	// Takes an inherited setting away. Default: false. Channel, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Service asked for. Default: "", the server as a whole. Channel, hot.
	ServiceName *string `policy:"service_name"`
}

// Discovery guards against a registry that lies.
type Discovery struct {
	// An empty list from a healthy source is honoured after this long. A duration; "0s": at once. Default:
	// "30s". Channel, hot.
	EmptyGrace *time.Duration `policy:"empty_grace" range:"[0s,)" default:"30s"`
	// A loss of more than this share at once is spread over empty_grace. A share, in (0, 1]. Default: 0.5.
	// Channel, hot.
	MaxRemovedRatio *float64 `policy:"max_removed_ratio" range:"(0,1]" default:"0.5"`
}

// Dial is what the constructor waits for.
type Dial struct {
	// Wait in the constructor. Default: false. Service, at start.
	Block *bool `policy:"block" default:"false"`
	// Longest wait. A duration; "0s": the context's deadline alone. Default: "20s". Service, at start.
	Timeout *time.Duration `policy:"timeout" range:"[0s,)" default:"20s"`
	// Endpoints that must be ready, health included. Endpoints, 1 to 1000000. Above 1 it does not go with
	// pick_first or a custom policy, nor above subset_size. Default: 1. Service, at start.
	MinReady *int `policy:"min_ready" range:"[1,1000000]" default:"1"`
	// Stop as soon as every endpoint has failed for good: bad certificate, TLS to plaintext, unknown name.
	// Default: true. Service, at start.
	FailOnPermanentError *bool `policy:"fail_on_permanent_error" default:"true"`
	// Count a refused connection as a failure for good: right where servers start before their clients.
	// Default: false. Service, at start.
	RefusedIsPermanent *bool `policy:"refused_is_permanent" default:"false"`
}

// Connection is the transport.
type Connection struct {
	// HTTP/2 pings. Default: off. Channel, at start.
	Keepalive *Keepalive `policy:"keepalive"`
	// Between attempts to connect. Default: "1s", "120s" and 1.6, as in gRPC. Channel, at start.
	ConnectBackoff *Backoff `policy:"connect_backoff"`
	// An attempt to connect gets at least this long. A duration > 0. Default: "20s". Channel, at start.
	MinConnectTimeout *time.Duration `policy:"min_connect_timeout" range:"(0s,)" default:"20s"`
	// Connections are closed after this long without calls. A duration; "0s": never. Default: "30m". Channel,
	// at start.
	IdleTimeout *time.Duration `policy:"idle_timeout" range:"[0s,)" default:"30m"`
	// Stands before gRPC's own user agent. Default: none. Channel, at start.
	UserAgent *string `policy:"user_agent"`
	// The :authority header, and the name that TLS verifies. Default: from the endpoint or the target. Channel,
	// at start.
	Authority *string `policy:"authority"`
}

// Keepalive has gRPC's meaning (gRFC A8).
type Keepalive struct {
	// Takes an inherited setting away. Default: false. Channel, at start.
	Disabled *bool `policy:"disabled" default:"false"`
	// Ping after this long without activity. A duration, at least "10s". Required by the first level that turns
	// it on. Channel, at start.
	Time *time.Duration `policy:"time" range:"[10s,)"`
	// Close if the answer takes longer. A duration > 0. Default: "20s". Channel, at start.
	Timeout *time.Duration `policy:"timeout" range:"(0s,)" default:"20s"`
	// Ping without calls too. Default: false. Channel, at start.
	PermitWithoutStream *bool `policy:"permit_without_stream" default:"false"`
}

// Backoff is exponential.
type Backoff struct {
	// First delay's upper bound. A duration > 0. Default: "25ms" for retry, "1s" for connect_backoff. Scope and
	// time of the message that it stands in: method, hot, for retry; channel, at start, for connect_backoff.
	Initial *time.Duration `policy:"initial" range:"(0s,)"`
	// Largest delay. A duration, at least initial. Default: "1s" for retry, "120s" for connect_backoff. Scope
	// and time as initial.
	Max *time.Duration `policy:"max" range:"(0s,)"`
	// Growth from one delay to the next. > 1, to 100. Default: 2 for retry, 1.6 for connect_backoff. Scope and
	// time as initial.
	Multiplier *float64 `policy:"multiplier" range:"(1,100]"`
}

// Timeout bounds unary calls. The caller's deadline always holds as well.
type Timeout struct {
	// The call with all its attempts. A duration; "0s": none. Default: none. Method, hot.
	Total *time.Duration `policy:"total" range:"[0s,)"`
	// One attempt. A duration; "0s": none. Default: none. Method, hot.
	PerAttempt *time.Duration `policy:"per_attempt" range:"[0s,)"`
}

// StreamTimeout bounds streams.
type StreamTimeout struct {
	// The stream's life. A duration; "0s": none. Default: none. Method, hot.
	Total *time.Duration `policy:"total" range:"[0s,)"`
	// Between two messages in either direction. A duration; "0s": none. Default: none. Method, hot.
	Idle *time.Duration `policy:"idle" range:"[0s,)"`
}

// Retry follows gRFC A6, with another endpoint preferred.
type Retry struct {
	// Takes an inherited setting away. Default: false. Method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Attempts with the first. 2 to 5. Default: 3. Method, hot.
	MaxAttempts *int `policy:"max_attempts" range:"[2,5]" default:"3"`
	// Full jitter between attempts. Default: "25ms", "1s" and 2. Method, hot.
	Backoff *Backoff `policy:"backoff"`
	// Codes worth another attempt. Not OK. Default: UNAVAILABLE. Method, hot.
	Codes []codes.Code `policy:"codes"`
	// Do not retry below a caller that is itself retrying (marked in metadata). Default: false. Method, hot.
	SkipNested *bool `policy:"skip_nested" default:"false"`
}

// Hedging sends a second attempt while the first is under way (Dean and Barroso, "The Tail at Scale").
type Hedging struct {
	// Takes an inherited setting away. Default: false. Method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Attempts with the first. 2 to 5. Default: 2. Method, hot.
	MaxAttempts *int `policy:"max_attempts" range:"[2,5]" default:"2"`
	// After this long: "30ms". A duration > 0. Method, hot.
	Delay *time.Duration `policy:"delay,oneof=when" range:"(0s,)"`
	// At this quantile of the method's own latency. In (0.5, 1). Method, hot.
	DelayQuantile *float64 `policy:"delay_quantile,oneof=when" range:"(0.5,1)"`
	// Extra load at most, of first attempts. A share, in (0, 1]. Default: 0.05. Method, hot.
	MaxExtraRatio *float64 `policy:"max_extra_ratio" range:"(0,1]" default:"0.05"`
}

// RetryBudget has Finagle's meaning.
type RetryBudget struct {
	// Takes an inherited or the default budget away. Default: false. Service, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Extra attempts to first attempts. A share, in (0, 1]. Default: 0.2. Service, hot.
	Ratio *float64 `policy:"ratio" range:"(0,1]" default:"0.2"`
	// Extra attempts allowed whatever the traffic. Attempts a second, 0 to 1000000. Default: 10. Service, hot.
	MinPerSecond *float64 `policy:"min_per_second" range:"[0,1000000]" default:"10"`
	// Over this long. A duration, "1s" to "60s". Default: "10s". Service, hot.
	Window *time.Duration `policy:"window" range:"[1s,60s]" default:"10s"`
}

// CircuitBreaker has resilience4j's meaning.
type CircuitBreaker struct {
	// Takes an inherited setting away. Default: false. Service or method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Counts what it would refuse, refuses nothing. Default: false. Service or method, hot.
	Observe *bool `policy:"observe" default:"false"`
	// Window of the ratios. A duration, "100ms" to "10m". Default: "10s". Service or method, hot.
	Window *time.Duration `policy:"window" range:"[100ms,10m]" default:"10s"`
	// Calls in the window before it judges. Calls, 1 to 1000000. Default: 20. Service or method, hot.
	MinimumCalls *int `policy:"minimum_calls" range:"[1,1000000]" default:"20"`
	// Opens at this share of failures. A share, in (0, 1]. Default: 0.5. Service or method, hot.
	FailureRatio *float64 `policy:"failure_ratio" range:"(0,1]" default:"0.5"`
	// Opens at this share of slow calls. A share, in [0, 1]; 0: not looked at. Default: 0. Service or method,
	// hot.
	SlowCallRatio *float64 `policy:"slow_call_ratio" range:"[0,1]" default:"0"`
	// A call is slow from here. A duration > 0. Required with slow_call_ratio. Service or method, hot.
	SlowCallDuration *time.Duration `policy:"slow_call_duration" range:"(0s,)"`
	// Stays open for, doubling at each return. A duration > 0. Default: "5s". Service or method, hot.
	OpenDuration *time.Duration `policy:"open_duration" range:"(0s,)" default:"5s"`
	// Longest open time. A duration, at least open_duration. Default: "60s". Service or method, hot.
	MaxOpenDuration *time.Duration `policy:"max_open_duration" range:"(0s,)" default:"60s"`
	// Probes let through when half open. Calls, 1 to 1000. Default: 3. Service or method, hot.
	HalfOpenCalls *int `policy:"half_open_calls" range:"[1,1000]" default:"3"`
	// Codes that are failures. Not OK. Default: as outlier_detection. Service or method, hot.
	Codes []codes.Code `policy:"codes"`
}

// ConcurrencyLimit is a bulkhead.
type ConcurrencyLimit struct {
	// Takes an inherited setting away. Default: false. Service or method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Counts what it would refuse, refuses nothing. Default: false. Service or method, hot.
	Observe *bool `policy:"observe" default:"false"`
	// This many. Attempts, 1 to 1000000. Service or method, hot.
	MaxInFlight *int `policy:"max_in_flight,oneof=limit" range:"[1,1000000]"`
	// As many as latency allows. Service or method, hot.
	Adaptive *AdaptiveLimit `policy:"adaptive,oneof=limit"`
	// Attempts that may wait. 0 to 1000000. Default: 0. Service or method, hot.
	MaxQueued *int `policy:"max_queued" range:"[0,1000000]" default:"0"`
	// Longest wait. A duration; "0s": the call's own deadline alone. Default: "0s". Service or method, hot.
	MaxQueueTime *time.Duration `policy:"max_queue_time" range:"[0s,)" default:"0s"`

	replaced bool // an arm was replaced while merging; see oneofHolder
}

// AdaptiveLimit finds the limit from latency (the gradient of Netflix's concurrency-limits).
type AdaptiveLimit struct {
	// Lowest limit. Attempts, 1 to 1000000. Default: 4. Service or method, hot.
	Min *int `policy:"min" range:"[1,1000000]" default:"4"`
	// Highest limit. Attempts, at least min, to 1000000. Default: 1000. Service or method, hot.
	Max *int `policy:"max" range:"[1,1000000]" default:"1000"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	// Takes an inherited setting away. Default: false. Service or method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Counts what it would refuse, refuses nothing. Default: false. Service or method, hot.
	Observe *bool `policy:"observe" default:"false"`
	// Tokens a second. > 0, to 1000000000. Required by the first level that turns it on. Service or method,
	// hot.
	CallsPerSecond *float64 `policy:"calls_per_second" range:"(0,1000000000]"`
	// Size of the bucket. Calls, 1 to 1000000000. Default: one second's tokens, rounded up. Service or method,
	// hot.
	Burst *int `policy:"burst" range:"[1,1000000000]"`
}

// AdaptiveThrottle refuses in proportion to what the server refuses.
type AdaptiveThrottle struct {
	// Takes an inherited setting away. Default: false. Service, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Counts what it would refuse, refuses nothing. Default: false. Service, hot.
	Observe *bool `policy:"observe" default:"false"`
	// K of the formula: calls are refused once requests exceed K x accepts. > 1, to 100. Default: 2. Service,
	// hot.
	K *float64 `policy:"k" range:"(1,100]" default:"2"`
	// Over this long. A duration, "1s" to "10m". Default: "2m". Service, hot.
	Window *time.Duration `policy:"window" range:"[1s,10m]" default:"2m"`
}
