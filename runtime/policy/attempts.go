package policy

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Timeout bounds unary calls. The caller's deadline always holds as well.
type Timeout struct {
	// The call with all its attempts. A duration; "0s": none. Default: none. Method, hot.
	Total *time.Duration `policy:"total" range:"[0s,)"`
	// One attempt: it gets this or, if that is less, an equal share of what is left of the call after the expected
	// back-offs. With retry on, an attempt that this ended is worth another, whatever retry.codes says. A
	// duration; "0s": none. Default: none. Method, hot.
	PerAttempt *time.Duration `policy:"per_attempt" range:"[0s,)"`
}

// StreamTimeout bounds streams.
type StreamTimeout struct {
	// The stream's life. A duration; "0s": none. Default: none. Method, hot.
	Total *time.Duration `policy:"total" range:"[0s,)"`
	// Between two messages in either direction, while the client waits for one. A duration; "0s": none. Default: none. Method, hot.
	Idle *time.Duration `policy:"idle" range:"[0s,)"`
}

// Retry follows gRFC A6, with another endpoint preferred. A stream is retried by gRPC, which replays it as long as
// nothing was received; its back-off has gRPC's jitter of a fifth.
type Retry struct {
	// Takes an inherited setting away. Default: false. Method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Attempts with the first; beside hedging, the larger max_attempts of both bounds the call. 2 to 5. Default:
	// 3. Method, hot.
	MaxAttempts *int `policy:"max_attempts" range:"[2,5]" default:"3"`
	// Full jitter between attempts. Default: "25ms", "1s" and 2. Method, hot.
	Backoff *Backoff `policy:"backoff"`
	// Codes worth another attempt; the end of the attempt's own timeout.per_attempt always is. Not OK. Default:
	// UNAVAILABLE. Method, hot.
	Codes []codes.Code `policy:"codes"`
	// Do not retry below a caller that is itself retrying (marked in metadata). Default: false. Method, hot.
	SkipNested *bool `policy:"skip_nested" default:"false"`
}

// Hedging sends a second attempt while the first is under way (Dean and Barroso, "The Tail at Scale").
type Hedging struct {
	// Takes an inherited setting away. Default: false. Method, hot.
	Disabled *bool `policy:"disabled" default:"false"`
	// Attempts with the first; beside retry, the larger max_attempts of both bounds the call. 2 to 5. Default: 2.
	// Method, hot.
	MaxAttempts *int `policy:"max_attempts" range:"[2,5]" default:"2"`
	// After this long: "30ms". A duration > 0. Method, hot.
	Delay *time.Duration `policy:"delay,oneof=when" range:"(0s,)"`
	// At this quantile of the method's own latency, or at 1 - 0.7 * max_extra_ratio if that is higher: ordinary
	// calls use up at most 0.7 of the cap, and the rest is there when servers stall. Nothing is hedged
	// before 100 calls were measured. In (0.5, 1). Method, hot.
	DelayQuantile *float64 `policy:"delay_quantile,oneof=when" range:"(0.5,1)"`
	// Extra load at most, of first attempts over 30 s. A share, in (0, 1]. Default: 0.05. Method, hot.
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
