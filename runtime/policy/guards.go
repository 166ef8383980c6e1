package policy

import (
	"time"

	"google.golang.org/grpc/codes"
)

// CircuitBreaker has resilience4j's meaning. It counts calls, however many attempts each takes.
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

// ConcurrencyLimit is a bulkhead. It counts attempts.
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

// AdaptiveThrottle refuses in proportion to what the server refuses, by UNAVAILABLE or RESOURCE_EXHAUSTED.
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
