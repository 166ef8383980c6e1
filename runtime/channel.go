package goresilient

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	mu      sync.Mutex
	shared  sharedPolicy
	clients map[*Client]struct{}
	config  *discovery.ServiceConfig // in force
	policy  *policy.Service          // in force, complete
	origins policy.Origins           // of policy
	transport
	closed chan struct{} // closed by Close
	isDown bool
	// delegated is delegates as the clients' plans have it.
	delegated bool

	hashes atomic.Bool // endpoints are chosen by the key of a call
	judges atomic.Bool // endpoints are judged by how calls end
	// delegates is whether others pick: with pick_first and custom policies, which do not tell attempts where they went.
	delegates atomic.Bool
	xds       atomic.Bool // the target's control plane chooses the config of each call, with retries of its own

	reports reports
}

// transport is what is made when the first client arrives, or when the channel is first used.
type transport struct {
	cc      *grpc.ClientConn
	wrapper *discovery.Wrapper
	files   *fileCredentials // nil unless WithTLSFiles
	started *policy.Service  // what was in force then; fields fixed at start stay as they are here
	// startedFrom is the origin of those fields.
	startedFrom policy.Origins
}

// NewChannel makes a channel that clients share by [WithChannel]. It connects when the first call is made, or at once if a
// policy says so ([WithBlock]); the error is then a [*DialError]. What clients bring of target, balancing and connection
// settings is taken over from the first that does, and is an error if another disagrees; what opts set wins over both.
// Overrides and the environment win over opts, as everywhere; a variable that names another target for one of the clients is
// an error.
func NewChannel(opts ...Option) (*Channel, error) {
	s := newSettings(nil, opts)
	if s.channel != nil || s.conn != nil {
		s.fail("WithChannel and WithConn have no meaning for NewChannel; remove them")
	}
	if len(s.unary)+len(s.stream)+len(s.attemptUnary)+len(s.attemptStreams) > 0 {
		s.fail("interceptors belong to a client, which makes calls; give them to the client")
	}
	if len(s.observers) > 0 {
		s.fail("WithObserver belongs to a client, which makes calls; give it to the client")
	}
	s.checkChannelPolicies()
	layers := append(s.optionLayers(), s.environment.layers("", s)...)
	ch := newChannel(s, layers)
	if s.overrides != nil {
		s.fail("WithOverrides belongs to a client, whose service the documents name; give it to the client")
	}
	if err := s.err(); err != nil {
		return nil, fmt.Errorf("goresilient: channel: %w", err)
	}
	own, _ := policy.Stack(layers).Service()
	if dial := policy.Complete(own).Dial; policy.Value(dial.Block) {
		if err := ch.waitReady(s.ctx, nil, dial); err != nil {
			_ = ch.Close()
			return nil, err
		}
	}
	return ch, nil
}

// newChannel makes a channel over checked settings. The layers are its own, whose channel fields no client may change.
func newChannel(s *Settings, layers []policy.Layer) *Channel {
	s.checkCredentials()
	s.checkTargets()
	ch := &Channel{
		settings: s,
		shared:   sharedPolicy{own: channelLayers(layers)},
		clients:  make(map[*Client]struct{}),
		config:   s.serviceConfig,
		closed:   make(chan struct{}),
	}
	if ch.config == nil {
		ch.config, _ = discovery.ParseServiceConfig("")
		s.serviceConfig = ch.config
	}
	merged, origins := ch.shared.stack(ch.config).Service()
	all, _ := policy.Stack(layers).Service()
	s.check("", policy.ValidateEffective(all))
	ch.policy, ch.origins = policy.Complete(merged), origins
	if err := balancer.ValidateConfig(ch.balancerConfig()); err != nil {
		s.errs = append(s.errs, err)
	}
	ch.state = balancer.NewChannel(ch.balancerConfig(), balancer.Options{})
	return ch
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
	shared := ch.shared.bringing(c, channelLayers(layers))
	if err := shared.disagreements(c, ch.cc != nil); err != nil {
		return err
	}
	before := ch.shared
	ch.shared = shared
	ch.recompute()
	err := balancer.ValidateConfig(ch.balancerConfig())
	if err == nil && ch.cc == nil {
		err = ch.start()
	}
	if err != nil {
		ch.shared = before
		ch.recompute()
		return err
	}
	ch.clients[c] = struct{}{}
	c.setServiceConfig(ch.config)
	return nil
}

// rebase takes over what the layers of a client say now, after a change of its override. Fields that are fixed at start stay.
func (ch *Channel) rebase(c *Client, layers []policy.Layer) {
	ch.mu.Lock()
	if _, there := ch.clients[c]; !there || ch.isDown {
		ch.mu.Unlock()
		return
	}
	ch.shared = ch.shared.bringing(c, channelLayers(layers))
	ch.recompute()
	ch.mu.Unlock()
	ch.wrapper.Push()
}

// leave forgets a client that was closed. What it brought to the channel stays, but for its override.
func (ch *Channel) leave(c *Client) {
	ch.mu.Lock()
	overridden := ch.shared.overriddenBy(c)
	delete(ch.clients, c)
	ch.shared = ch.shared.orphaning(c)
	if overridden = overridden && !ch.isDown; overridden {
		ch.recompute()
	}
	ch.mu.Unlock()
	if overridden {
		ch.wrapper.Push()
	}
}

// expel forgets a client whose constructor failed, with all that it brought.
func (ch *Channel) expel(c *Client) {
	ch.mu.Lock()
	ch.shared = ch.shared.without(c)
	delete(ch.clients, c)
	ch.recompute()
	ch.mu.Unlock()
	ch.wrapper.Push()
}

// recompute merges what everybody says of the channel and tells the balancer.
func (ch *Channel) recompute() {
	merged, origins := ch.shared.stack(ch.config).Service()
	ch.policy, ch.origins = policy.Complete(merged), origins
	if ch.started != nil {
		ch.policy.Target, ch.policy.Connection = ch.started.Target, ch.started.Connection
		for path := range ch.origins {
			if _, start := policy.ScopeOf(path); start {
				delete(ch.origins, path)
			}
		}
		maps.Copy(ch.origins, ch.startedFrom)
		if ch.wrapper.Scheme() == "xds" && ch.config.LoadBalancing() != nil {
			// An xds resolver's addresses are found by the policy that its config names, and by no other.
			ch.policy.LoadBalancing = policy.Complete(&policy.Service{LoadBalancing: ch.config.LoadBalancing()}).LoadBalancing
		}
	}
	cfg := ch.balancerConfig()
	lb := cfg.LoadBalancing
	hashes, judges := lb.ConsistentHash != nil, cfg.OutlierDetection != nil || lb.Adaptive != nil || lb.PeakEwma != nil
	ch.hashes.Store(hashes)
	ch.delegates.Store(lb.PickFirst != nil || lb.Custom != nil)
	ch.judges.Store(judges)
	if hashes || judges {
		ch.state.Record(true)
	}
	ch.state.Configure(cfg)
}

func (ch *Channel) balancerConfig() balancer.Config {
	cfg := balancer.Config{LoadBalancing: ch.policy.LoadBalancing, HealthService: ch.healthService(), Zone: ch.settings.zone}
	if od := ch.policy.OutlierDetection; od != nil && !policy.Value(od.Disabled) {
		cfg.OutlierDetection = od
	}
	return cfg
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
		Guard:    ch.guard,
		Patience: ch.patience,
		Resolved: ch.reports.resolved,
		Failed:   ch.reports.failed,
	}
}

// guard returns how far discovery is trusted.
func (ch *Channel) guard() discovery.GuardConfig {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	d := ch.policy.Discovery
	return discovery.GuardConfig{EmptyGrace: *d.EmptyGrace, MaxRemovedRatio: *d.MaxRemovedRatio}
}

// patience returns how long a target is waited for before the next of several is used.
func (ch *Channel) patience() time.Duration {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return *ch.policy.LoadBalancing.Failover.ConnectTimeout
}

// apply makes sc the service config in force, for the channel and for each client's methods, and returns what grpc gets.
func (ch *Channel) apply(sc *discovery.ServiceConfig) string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	changed := sc != ch.config
	ch.config = sc
	ch.recompute()
	if d := ch.delegates.Load(); d != ch.delegated { // of which plans know
		changed, ch.delegated = true, d
	}
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

// Target returns the target, of several the first; "" if none is known yet.
func (ch *Channel) Target() string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return policy.Value(ch.policy.Target)
}

// WaitReady connects and waits until one endpoint is READY, health included, or ctx ends. The error is a [*DialError].
func (ch *Channel) WaitReady(ctx context.Context) error {
	dial := policy.Complete(&policy.Service{Dial: &policy.Dial{Timeout: policy.Set(noTimeout), FailOnPermanentError: policy.Set(false)}}).Dial
	return ch.waitReady(ctx, nil, dial)
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
