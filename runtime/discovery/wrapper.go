package discovery

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
	// Guard returns how far to trust a list that is empty, or much shorter than the one before. Called after Apply.
	Guard func() GuardConfig
	// Patience returns how long a target may say nothing before the next of [Targets] is used; nil for their default.
	Patience func() time.Duration
	// Resolved is called after each state that the resolver reported, with a [*ServiceConfigError] if its service config is
	// invalid; nil otherwise.
	Resolved func(invalid error)
	// Failed is called with each error of Build and of the resolver.
	Failed func(error)
}

// Wrapper stands around the resolver builder of one channel. It puts the channel into each state, rewrites each service
// config, tells the channel of errors, and pushes the last state again when policy changed. It serialises its own pushes
// with those of the resolver.
//
// It is what the runtime is built on, as are [Hooks] and [ServiceConfig]; their Go interface may change with any minor version.
type Wrapper struct {
	builder  resolver.Builder
	hooks    Hooks
	fallback *ServiceConfig // in force while the resolver gives none

	mu   sync.Mutex
	live *wrappedConn // of the resolver that grpc built last; nil when there is none
	// parsed has the configs that a resolver may still refer to, one built later too: some replay their last state.
	parsed map[*serviceconfig.ParseResult]*ServiceConfig
	used   *serviceconfig.ParseResult // the last one that a state referred to

	// guard outlives the resolvers, as the balancer's memory of endpoints does. nil where the builder has one per target.
	guardMu sync.Mutex
	guard   *StateGuard
}

// Wrap returns a wrapper around builder. The config fallback holds while the resolver gives none; it may not be nil.
func Wrap(builder resolver.Builder, fallback *ServiceConfig, hooks Hooks) *Wrapper {
	w := &Wrapper{
		builder: builder, hooks: hooks, fallback: fallback,
		parsed: make(map[*serviceconfig.ParseResult]*ServiceConfig),
	}
	if several, ok := builder.(*Targets); ok {
		several.guard = hooks.Guard
		if hooks.Patience != nil {
			several.patience = hooks.Patience
		}
	} else {
		w.guard = NewStateGuard(GuardConfig{})
	}
	return w
}

// Scheme implements [resolver.Builder].
func (w *Wrapper) Scheme() string { return w.builder.Scheme() }

// Build implements [resolver.Builder].
func (w *Wrapper) Build(target resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	conn := &wrappedConn{ClientConn: cc, wrapper: w}
	w.mu.Lock()
	w.live = conn
	w.mu.Unlock()
	r, err := w.builder.Build(target, conn, opts)
	if err != nil {
		conn.close()
		w.hooks.Failed(err)
		return nil, err
	}
	if several, ok := r.(*targetsResolver); ok {
		conn.several.Store(several)
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

// maxRemembered bounds Wrapper.parsed.
const maxRemembered = 64

// wrappedConn is the resolver.ClientConn that one resolver talks to. mu guards all below it and is held while a state goes
// to grpc, so that a push never overtakes the state it is made from.
type wrappedConn struct {
	resolver.ClientConn
	wrapper *Wrapper

	mu       sync.Mutex
	last     *resolver.State // as the resolver gave it
	lost     bool            // the resolver has reported an error since
	config   *ServiceConfig  // in force; nil before the first
	rendered string          // the config that grpc has
	parsed   *serviceconfig.ParseResult

	// again shows the last state anew when the guard lets go of something. Set under mu.
	again atomic.Pointer[time.Timer]

	several atomic.Pointer[targetsResolver] // nil for one target
}

func (c *wrappedConn) close() {
	c.wrapper.mu.Lock()
	if c.wrapper.live == c {
		c.wrapper.live = nil
	}
	c.wrapper.mu.Unlock()
	if t := c.again.Load(); t != nil {
		t.Stop()
	}
	// Not under c.mu: a state on its way to grpc holds it, and grpc may be waiting for this resolver to close.
}

// UpdateState implements [resolver.ClientConn].
func (c *wrappedConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lost = &s, false
	invalid := c.chooseConfig(s.ServiceConfig)
	defer c.wrapper.hooks.Resolved(invalid)
	if invalid != nil && c.config == nil { // as in gRFC A21: a channel without a good config fails until it gets one
		s.ServiceConfig = &serviceconfig.ParseResult{Err: invalid}
		return c.ClientConn.UpdateState(c.attached(s))
	}
	return c.forward(s)
}

// chooseConfig sets the config in force from what the resolver gave; an invalid one keeps the old.
func (c *wrappedConn) chooseConfig(given *serviceconfig.ParseResult) error {
	if given == nil {
		c.config = c.wrapper.fallback
		return nil
	}
	if given.Err != nil {
		return &ServiceConfigError{Err: given.Err}
	}
	sc := c.wrapper.recall(given)
	if sc == nil {
		return &ServiceConfigError{Err: errors.New("the resolver did not parse it with ParseServiceConfig of its ClientConn")}
	}
	c.config = sc
	return nil
}

// forward sends s to grpc with the config in force, rewritten.
func (c *wrappedConn) forward(s resolver.State) error {
	js := c.wrapper.hooks.Apply(c.config)
	if c.parsed == nil || js != c.rendered {
		c.rendered, c.parsed = js, c.ClientConn.ParseServiceConfig(js)
	}
	s = c.guarded(s)
	s.ServiceConfig = c.parsed
	return c.ClientConn.UpdateState(c.attached(s))
}

// guarded returns s with the endpoints that the guard keeps, and comes back when it would let go of one.
func (c *wrappedConn) guarded(s resolver.State) resolver.State {
	w := c.wrapper
	if w.guard == nil {
		return s
	}
	w.guardMu.Lock()
	defer w.guardMu.Unlock()
	w.guard.Configure(w.hooks.Guard())
	now := time.Now()
	s, next := w.guard.Apply(now, s, c.lost)
	if t := c.again.Load(); t != nil {
		t.Stop()
	}
	if !next.IsZero() {
		c.again.Store(time.AfterFunc(next.Sub(now), c.pushIfLive))
	}
	return s
}

func (c *wrappedConn) pushIfLive() {
	c.wrapper.mu.Lock()
	live := c.wrapper.live == c
	c.wrapper.mu.Unlock()
	if live {
		c.pushAgain()
	}
}

func (c *wrappedConn) attached(s resolver.State) resolver.State {
	s.Attributes = c.wrapper.hooks.Attach(s.Attributes)
	return s
}

func (c *wrappedConn) pushAgain() {
	if several := c.several.Load(); several != nil {
		several.showAgain()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.config != nil {
		// The balancer's answer concerns the resolver's next try, and it has had it.
		_ = c.forward(*c.last)
	}
}

// ReportError implements [resolver.ClientConn].
func (c *wrappedConn) ReportError(err error) {
	c.mu.Lock()
	c.lost = true
	c.mu.Unlock()
	c.wrapper.hooks.Failed(err)
	c.ClientConn.ReportError(err)
}

// note implements noter.
func (c *wrappedConn) note(err error) { c.wrapper.hooks.Failed(err) }

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
	c.wrapper.remember(result, sc)
	return result
}

func (w *Wrapper) recall(given *serviceconfig.ParseResult) *ServiceConfig {
	w.mu.Lock()
	defer w.mu.Unlock()
	sc := w.parsed[given]
	if sc != nil {
		w.used = given
	}
	return sc
}

// remember keeps what a result stands for. Of very many, those are forgotten that are not in use.
func (w *Wrapper) remember(result *serviceconfig.ParseResult, sc *ServiceConfig) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parsed) >= maxRemembered {
		used := w.parsed[w.used]
		clear(w.parsed)
		if used != nil {
			w.parsed[w.used] = used
		}
	}
	w.parsed[result] = sc
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
