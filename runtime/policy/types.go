package policy

// Service is what all calls to a service share: where it is, which endpoint a call goes to, and the guards that
// count all methods together. Guards of one method stand in Method.
type Service struct {
	// Where the service is, as a gRPC target: "env:///INVENTORY_TARGET", "dns:///inventory:443". Not empty.
	// Default: none; without one, the Go option or the environment must name it. Channel, at start.
	Target *string `policy:"target,channel,start"`
	// Which endpoint a call goes to. Default: adaptive. Channel, hot.
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
