package policy

import (
	"time"

	"google.golang.org/grpc/codes"
)

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
	LatencyFactor *float64 `policy:"latency_factor" range:"0|(1,1000]" default:"0"`
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
