package goresilient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Channel is a target with its discovery, connections and balancing. Many clients may share one: ten services on one target
// then need one watch and one set of connections. Whoever made it closes it, after its clients.
type Channel struct {
	settings *Settings
	state    *balancer.Channel // outlives grpc's balancer, which an idle channel loses

	// mu guards what follows. It is held while options of a client are taken over, never during a call or a wait.
	mu       sync.Mutex
	layers   []policy.Layer // of the channel's own options and of its clients; lowest level first
	explicit policy.Origins // fields that the channel's own options set, which no client changes
	// explicitArm tells that they name a load balancing policy.
	explicitArm bool
	adopted     policy.Origins // fields that a client brought
	clients     map[*Client]struct{}
	config      *discovery.ServiceConfig // in force
	policy      *policy.Service          // in force, complete
	origins     policy.Origins           // of policy
	transport
	closed chan struct{} // closed by Close
	isDown bool

	reports reports
}

// transport is what is made when the first client arrives, or when the channel is first used.
type transport struct {
	cc      *grpc.ClientConn
	wrapper *discovery.Wrapper
	files   *fileCredentials // nil unless WithTLSFiles
	started *policy.Service  // what was in force then; fields fixed at start stay as they are here
}

// NewChannel makes a channel that clients share by [WithChannel]. It connects when the first call is made, or at once if a
// policy says so ([WithBlock]); the error is then a [*DialError]. What clients bring of target, balancing and connection
// settings is taken over from the first that does, and is an error if another disagrees; what opts set wins over both.
func NewChannel(opts ...Option) (*Channel, error) {
	s := newSettings(nil, opts)
	if s.channel != nil || s.conn != nil {
		s.fail("WithChannel and WithConn have no meaning for NewChannel; remove them")
	}
	if len(s.unary)+len(s.stream)+len(s.attemptUnary)+len(s.attemptStreams) > 0 {
		s.fail("interceptors belong to a client, which makes calls; give them to the client")
	}
	layers := append(s.optionLayers(), s.environment.layers("", s)...)
	ch := newChannel(s, layers)
	if err := s.err(); err != nil {
		return nil, err
	}
	own, _ := policy.Stack(layers).Service()
	if dial := policy.Complete(own).Dial; policy.Value(dial.Block) {
		if err := ch.waitReady(s.ctx, dial); err != nil {
			_ = ch.Close()
			return nil, err
		}
	}
	return ch, nil
}

// newChannel makes a channel over checked settings. The layers are its own, whose channel fields no client may change.
func newChannel(s *Settings, layers []policy.Layer) *Channel {
	s.checkCredentials()
	ch := &Channel{
		settings: s,
		layers:   channelLayers(layers),
		adopted:  make(policy.Origins),
		clients:  make(map[*Client]struct{}),
		config:   s.serviceConfig,
		closed:   make(chan struct{}),
	}
	if ch.config == nil {
		ch.config, _ = discovery.ParseServiceConfig("")
		s.serviceConfig = ch.config
	}
	merged, origins := policy.Stack(ch.layers).Service()
	ch.explicit, ch.explicitArm = origins, merged.LoadBalancing.Arm() != ""
	s.checkUnsupported(merged)
	ch.policy, ch.origins = policy.Complete(merged), origins
	ch.state = balancer.NewChannel(ch.balancerConfig(), balancer.Options{})
	return ch
}

// channelLayers keeps of each layer what belongs to a channel.
func channelLayers(layers []policy.Layer) []policy.Layer {
	var out []policy.Layer
	for _, l := range layers {
		if l.Service == nil {
			continue
		}
		l.Service = &policy.Service{
			Target:           l.Service.Target,
			LoadBalancing:    l.Service.LoadBalancing,
			OutlierDetection: l.Service.OutlierDetection,
			HealthCheck:      l.Service.HealthCheck,
			Discovery:        l.Service.Discovery,
			Connection:       l.Service.Connection,
		}
		l.Methods, l.MethodLines = nil, nil
		out = append(out, l)
	}
	return out
}

// adopt takes over what the layers of a client say of the channel, and starts the transport.
func (ch *Channel) adopt(c *Client, layers []policy.Layer) error {
	err := ch.adoptLocked(c, layers)
	if err == nil {
		ch.wrapper.Push()
	}
	return err
}

func (ch *Channel) adoptLocked(c *Client, layers []policy.Layer) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.isDown {
		return ErrClosed
	}
	theirs := channelLayers(layers)
	wanted, origins := policy.Stack(theirs).Service()
	if err := ch.disagreements(c.desc.Name, wanted, origins); err != nil {
		return err
	}
	for path, origin := range origins {
		if _, ok := ch.explicit[path]; !ok {
			ch.adopted[path] = origin
		}
	}
	ch.layers = append(theirs, ch.layers...)
	slices.SortStableFunc(ch.layers, func(a, b policy.Layer) int { return int(a.Level) - int(b.Level) })
	ch.recompute()
	if err := balancer.ValidateConfig(ch.balancerConfig()); err != nil {
		return err
	}
	if ch.cc == nil {
		if err := ch.start(); err != nil {
			return err
		}
	}
	ch.clients[c] = struct{}{}
	c.setServiceConfig(ch.config)
	return nil
}

// leave forgets a client that was closed. What it brought to the channel stays.
func (ch *Channel) leave(c *Client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.clients, c)
}

// disagreements reports where a client wants another channel than those before it.
func (ch *Channel) disagreements(service string, wanted *policy.Service, origins policy.Origins) error {
	current := make(map[string]any)
	merged, _ := policy.Stack(ch.layers).Service()
	for path, v := range policy.Fields(merged) {
		current[path] = v
	}
	var errs []error
	for path, v := range policy.Fields(wanted) {
		before, taken := ch.adopted[path]
		if _, explicit := ch.explicit[path]; explicit || v == nil {
			continue
		}
		if have, want := policy.FormatValue(current[path]), policy.FormatValue(v); taken && have != want {
			errs = append(errs, fmt.Errorf("%s: %s wants %s (%v) and the channel has %s (%v); write the same in both, or set it in NewChannel", path, service, want, origins[path], have, before))
			continue
		}
		if _, start := policy.ScopeOf(path); start && ch.cc != nil && !taken {
			errs = append(errs, fmt.Errorf("%s: %s wants %s (%v) and the channel has started without it; set it in NewChannel", path, service, policy.FormatValue(v), origins[path]))
		}
	}
	if arm := wanted.LoadBalancing.Arm(); arm != "" && merged.LoadBalancing.Arm() != "" && arm != merged.LoadBalancing.Arm() && !ch.explicitArm {
		errs = append(errs, fmt.Errorf("load_balancing: %s wants %s (%v) and the channel has %s; write the same in both, or set it in NewChannel", service, arm, origins["load_balancing."+arm], merged.LoadBalancing.Arm()))
	}
	return errors.Join(errs...)
}

// recompute merges the layers with the service config in force and tells the balancer.
func (ch *Channel) recompute() {
	layers := slices.Clone(ch.layers)
	if lb, health := ch.config.LoadBalancing(), ch.config.HealthService(); lb != nil || health != nil {
		given := &policy.Service{LoadBalancing: lb}
		if health != nil {
			given.HealthCheck = &policy.HealthCheck{ServiceName: health}
		}
		layers = append(layers, policy.Layer{Level: policy.LevelServiceConfig, Service: given})
		slices.SortStableFunc(layers, func(a, b policy.Layer) int { return int(a.Level) - int(b.Level) })
	}
	merged, origins := policy.Stack(layers).Service()
	ch.policy, ch.origins = policy.Complete(merged), origins
	if ch.started != nil {
		ch.policy.Target, ch.policy.Connection = ch.started.Target, ch.started.Connection
		if ch.wrapper.Scheme() == "xds" && ch.config.LoadBalancing() != nil {
			// An xds resolver's addresses are found by the policy that its config names, and by no other.
			ch.policy.LoadBalancing = policy.Complete(&policy.Service{LoadBalancing: ch.config.LoadBalancing()}).LoadBalancing
		}
	}
	ch.state.Configure(ch.balancerConfig())
}

func (ch *Channel) balancerConfig() balancer.Config {
	return balancer.Config{LoadBalancing: ch.policy.LoadBalancing, HealthService: ch.healthService()}
}

func (ch *Channel) healthService() *string {
	h := ch.policy.HealthCheck
	if h == nil || policy.Value(h.Disabled) {
		return nil
	}
	return policy.Set(policy.Value(h.ServiceName))
}

// hooks connect the resolver to the channel.
func (ch *Channel) hooks() discovery.Hooks {
	return discovery.Hooks{
		Attach:   ch.state.Attach,
		Apply:    ch.apply,
		Resolved: ch.reports.resolved,
		Failed:   ch.reports.failed,
	}
}

// apply makes sc the service config in force, for the channel and for each client's methods, and returns what grpc gets.
func (ch *Channel) apply(sc *discovery.ServiceConfig) string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	changed := sc != ch.config
	ch.config = sc
	ch.recompute()
	var rpcs []discovery.RPC
	for c := range ch.clients {
		if changed {
			c.setServiceConfig(sc)
		}
		rpcs = append(rpcs, c.rpcs()...)
	}
	slices.SortFunc(rpcs, func(a, b discovery.RPC) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Method, b.Method))
	})
	return sc.Render(rpcs, ch.healthService())
}

// use returns the connection, made if this is its first use.
func (ch *Channel) use() (*grpc.ClientConn, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.isDown {
		return nil, ErrClosed
	}
	if ch.cc == nil {
		if err := ch.start(); err != nil {
			return nil, err
		}
	}
	return ch.cc, nil
}

// Target returns the target, "" if none is known yet.
func (ch *Channel) Target() string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return policy.Value(ch.policy.Target)
}

// WaitReady connects and waits until one endpoint is READY, health included, or ctx ends. The error is a [*DialError].
func (ch *Channel) WaitReady(ctx context.Context) error {
	dial := policy.Complete(&policy.Service{Dial: &policy.Dial{Timeout: policy.Set(noTimeout), FailOnPermanentError: policy.Set(false)}}).Dial
	return ch.waitReady(ctx, dial)
}

// State returns the aggregate state of the connections.
func (ch *Channel) State() connectivity.State {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case ch.isDown:
		return connectivity.Shutdown
	case ch.cc == nil:
		return connectivity.Idle
	default:
		return ch.cc.GetState()
	}
}

// Close closes the connections; running calls fail with CANCELLED. A second Close does nothing.
func (ch *Channel) Close() error {
	ch.mu.Lock()
	if ch.isDown {
		ch.mu.Unlock()
		return nil
	}
	ch.isDown = true
	close(ch.closed)
	cc, files := ch.cc, ch.files
	ch.mu.Unlock()
	var err error
	if cc != nil {
		err = cc.Close()
	}
	if files != nil {
		files.close()
	}
	return err
}

// lookup finds the resolver builder of a scheme: those given first, then ours, then grpc's.
func (ch *Channel) lookup() func(string) resolver.Builder {
	return discovery.Lookup(ch.settings.resolvers)
}
