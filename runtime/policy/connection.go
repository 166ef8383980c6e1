package policy

import "time"

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
