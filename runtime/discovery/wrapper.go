package discovery

import (
	"errors"
	"sync"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// Hooks are what a [Wrapper] tells its channel, and asks of it. They are called one at a time, never with a lock of grpc
// held, and must not call into grpc.
type Hooks struct {
	// Attach adds the channel to the attributes of each state: the side channel through which the balancer follows policy.
	Attach func(*attributes.Attributes) *attributes.Attributes
	// Apply takes over the service config in force and returns the JSON that grpc gets in its place.
	Apply func(*ServiceConfig) string
	// Resolved is called after each state that the resolver reported, with the number of its endpoints.
	Resolved func(endpoints int)
	// Failed is called with each error: of Build, of the resolver, or of a service config that it gave.
	Failed func(error)
}

// Wrapper stands around the resolver builder of one channel. It puts the channel into each state, rewrites each service
// config, tells the channel of errors, and pushes the last state again when policy changed. It serialises its own pushes
// with those of the resolver.
type Wrapper struct {
	builder  resolver.Builder
	hooks    Hooks
	fallback *ServiceConfig // in force while the resolver gives none

	mu   sync.Mutex
	live *wrappedConn // of the resolver that grpc built last; nil when there is none
}

// Wrap returns a wrapper around builder. The config fallback holds while the resolver gives none; it may not be nil.
func Wrap(builder resolver.Builder, fallback *ServiceConfig, hooks Hooks) *Wrapper {
	return &Wrapper{builder: builder, hooks: hooks, fallback: fallback}
}

// Scheme implements [resolver.Builder].
func (w *Wrapper) Scheme() string { return w.builder.Scheme() }

// Build implements [resolver.Builder].
func (w *Wrapper) Build(target resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	conn := &wrappedConn{ClientConn: cc, wrapper: w, configs: make(map[*serviceconfig.ParseResult]*ServiceConfig)}
	w.mu.Lock()
	w.live = conn
	w.mu.Unlock()
	r, err := w.builder.Build(target, conn, opts)
	if err != nil {
		conn.close()
		w.hooks.Failed(err)
		return nil, err
	}
	return &wrappedResolver{Resolver: r, conn: conn}, nil
}

// Push reports the last state again, so that the balancer and grpc see a change of policy. It does nothing before the
// first state, and while the channel is idle: the next state will carry the change.
func (w *Wrapper) Push() {
	w.mu.Lock()
	conn := w.live
	w.mu.Unlock()
	if conn != nil {
		conn.pushAgain()
	}
}

// authorityWrapper is a Wrapper around a builder that chooses the authority.
type authorityWrapper struct {
	*Wrapper
	resolver.AuthorityOverrider
}

// Builder returns w as grpc shall see it: choosing the authority if the builder beneath does.
func (w *Wrapper) Builder() resolver.Builder {
	if a, ok := w.builder.(resolver.AuthorityOverrider); ok {
		return authorityWrapper{w, a}
	}
	return w
}

type wrappedResolver struct {
	resolver.Resolver
	conn *wrappedConn
}

func (r *wrappedResolver) Close() {
	r.conn.close()
	r.Resolver.Close()
}

// maxRemembered bounds the parsed configs that a resolver may still refer to.
const maxRemembered = 64

// wrappedConn is the resolver.ClientConn that one resolver talks to. mu guards all below it and is held while a state goes
// to grpc, so that a push never overtakes the state it is made from.
type wrappedConn struct {
	resolver.ClientConn
	wrapper *Wrapper

	mu       sync.Mutex
	last     *resolver.State // as the resolver gave it
	config   *ServiceConfig  // in force; nil before the first
	configs  map[*serviceconfig.ParseResult]*ServiceConfig
	rendered string // the config that grpc has
	parsed   *serviceconfig.ParseResult
}

func (c *wrappedConn) close() {
	c.wrapper.mu.Lock()
	if c.wrapper.live == c {
		c.wrapper.live = nil
	}
	c.wrapper.mu.Unlock()
	// Not under c.mu: a state on its way to grpc holds it, and grpc may be waiting for this resolver to close.
}

// UpdateState implements [resolver.ClientConn].
func (c *wrappedConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = &s
	if err := c.chooseConfig(s.ServiceConfig); err != nil {
		c.wrapper.hooks.Failed(err)
		if c.config == nil { // as in gRFC A21: a channel without a good config fails until it gets one
			s.ServiceConfig = &serviceconfig.ParseResult{Err: err}
			return c.ClientConn.UpdateState(c.attached(s))
		}
	}
	err := c.forward(s)
	c.wrapper.hooks.Resolved(max(len(s.Endpoints), len(s.Addresses)))
	return err
}

// chooseConfig sets the config in force from what the resolver gave; an invalid one keeps the old.
func (c *wrappedConn) chooseConfig(given *serviceconfig.ParseResult) error {
	switch {
	case given == nil:
		c.config = c.wrapper.fallback
	case given.Err != nil:
		return &ServiceConfigError{Err: given.Err}
	case c.configs[given] != nil:
		c.config = c.configs[given]
	default:
		return &ServiceConfigError{Err: errors.New("the resolver did not parse it with ParseServiceConfig of its ClientConn")}
	}
	return nil
}

// forward sends s to grpc with the config in force, rewritten.
func (c *wrappedConn) forward(s resolver.State) error {
	js := c.wrapper.hooks.Apply(c.config)
	if c.parsed == nil || js != c.rendered {
		c.rendered, c.parsed = js, c.ClientConn.ParseServiceConfig(js)
	}
	s.ServiceConfig = c.parsed
	return c.ClientConn.UpdateState(c.attached(s))
}

func (c *wrappedConn) attached(s resolver.State) resolver.State {
	s.Attributes = c.wrapper.hooks.Attach(s.Attributes)
	return s
}

func (c *wrappedConn) pushAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.config != nil {
		// The balancer's answer concerns the resolver's next try, and it has had it.
		_ = c.forward(*c.last)
	}
}

// ReportError implements [resolver.ClientConn].
func (c *wrappedConn) ReportError(err error) {
	c.wrapper.hooks.Failed(err)
	c.ClientConn.ReportError(err)
}

// NewAddress implements [resolver.ClientConn]; it is grpc's old form of UpdateState.
func (c *wrappedConn) NewAddress(addresses []resolver.Address) {
	c.mu.Lock()
	var given *serviceconfig.ParseResult
	if c.last != nil {
		given = c.last.ServiceConfig
	}
	c.mu.Unlock()
	_ = c.UpdateState(resolver.State{Addresses: addresses, ServiceConfig: given})
}

// ParseServiceConfig implements [resolver.ClientConn]. The result stands for the config as given; it is rewritten when a
// state refers to it.
func (c *wrappedConn) ParseServiceConfig(js string) *serviceconfig.ParseResult {
	sc, err := ParseServiceConfig(js)
	if err != nil {
		return &serviceconfig.ParseResult{Err: err}
	}
	// grpc's own parser checks what is not ours: the retry policy of a stream, and unknown values.
	result := c.ClientConn.ParseServiceConfig(sc.Render(nil, sc.healthService))
	if result.Err != nil {
		return result
	}
	result = &serviceconfig.ParseResult{Config: result.Config}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.configs) >= maxRemembered {
		clear(c.configs)
		if c.last != nil && c.last.ServiceConfig != nil && c.config != nil {
			c.configs[c.last.ServiceConfig] = c.config
		}
	}
	c.configs[result] = sc
	return result
}

// ServiceConfigError is an invalid service config of a resolver; the config before it stays in force.
type ServiceConfigError struct {
	// Err is what is wrong.
	Err error
}

// Error names the cause.
func (e *ServiceConfigError) Error() string {
	return "resolver gave an invalid service config: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ServiceConfigError) Unwrap() error { return e.Err }
