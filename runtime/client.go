package goresilient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/inflight"
	"github.com/goresilient/goresilient/runtime/internal/ledger"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Client is the call policy of one service over a channel. Generated clients embed it.
type Client struct {
	desc    *ServiceDesc
	channel *Channel // nil with WithConn
	owned   bool     // the channel was made with this client, and is closed with it
	conn    grpc.ClientConnInterface
	grpc    *grpc.ClientConn // conn, if it is one; for interceptors
	dial    *policy.Dial     // complete
	atStart *policy.Service  // what was in force when the client was made

	calls   inflight.Counter
	ledgers ledgers
	limits  atomic.Pointer[[]*limit.Limiter] // of the service and the methods
	closed  chan struct{}                    // closed by Close and Shutdown
	methods map[string]*method               // by full name: "/acme.inventory.v1.InventoryService/GetItem"
	// unaryDefault and streamDefault are for RPCs of other services, called through Conn.
	unaryDefault, streamDefault *method

	callUnary, attemptUnary   grpc.UnaryClientInterceptor  // nil if none
	callStream, attemptStream grpc.StreamClientInterceptor // nil if none

	observer   Observer        // nil if none
	background context.Context // of events that no call has caused
	random     func() uint64

	// mu guards layers, the guards, and the recompilation of each method's plan from them.
	mu              sync.Mutex
	guards          guardSet
	layers          policy.Stack
	override        []policy.Layer // of overrides
	overrideVersion string
	serviceConfig   *discovery.ServiceConfig
	overrides       *Overrides // nil for none
}

// NewClient makes the client of a service. Generated constructors call it; opts are theirs. It reports everything that is
// wrong with the options at once, before anything is dialled. If the policy says to block, it waits, and the error is a
// [*DialError]; nothing is left behind then.
func NewClient(service *ServiceDesc, opts ...Option) (*Client, error) {
	s := newSettings(service, opts)
	s.checkCombinations()
	c := &Client{desc: service, methods: make(map[string]*method, len(service.Methods)), closed: make(chan struct{}), random: rand.Uint64}
	c.calls.CountElsewhere(c.permitted)
	c.observer, c.background = joinObservers(s.observers), context.WithoutCancel(s.ctx)
	c.callUnary, c.attemptUnary = chainUnary(s.unary), chainUnary(s.attemptUnary)
	c.callStream, c.attemptStream = chainStream(s.stream), chainStream(s.attemptStreams)
	c.layers = slices.Concat(service.Layers, s.optionLayers(), s.environment.layers(service.Name, s))
	c.checkLayers(s)
	c.startOverride(s)
	c.compileMethods(s)
	if err := c.connect(s); err != nil {
		return nil, err
	}
	if c.overrides != nil {
		c.overrides.attach(c, c.overrideVersion)
	}
	if *c.dial.Block {
		if err := c.waitReady(s.ctx, c.dial); err != nil {
			if c.channel != nil {
				c.channel.expel(c)
			}
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// connect gives the client its connection: a foreign one, a shared channel, or a channel of its own.
func (c *Client) connect(s *Settings) error {
	switch {
	case s.conn != nil:
		if err := s.err(); err != nil {
			return fmt.Errorf("goresilient: %s: %w", c.desc.Name, err)
		}
		c.conn = s.conn
		c.grpc, _ = s.conn.(*grpc.ClientConn)
		return nil
	case s.channel != nil:
		c.channel = s.channel
	default:
		c.channel, c.owned = newChannel(s, nil), true
	}
	err := s.err()
	if err == nil {
		err = c.channel.adopt(c, c.withOverride())
	}
	if err != nil {
		if c.owned {
			_ = c.channel.Close()
		}
		if err == ErrClosed {
			return err
		}
		return fmt.Errorf("goresilient: %s: %w", c.desc.Name, err)
	}
	c.conn, c.grpc = c.channel.cc, c.channel.cc
	if c.asksWhere() {
		c.channel.state.Record(true)
	}
	return nil
}

// checkLayers reports what is wrong with the policy once all levels are together.
func (c *Client) checkLayers(s *Settings) {
	merged, _ := c.layers.Service()
	s.check("", policy.ValidateEffective(merged))
	for _, l := range c.layers {
		for _, name := range slices.Sorted(maps.Keys(l.Methods)) {
			i := slices.IndexFunc(c.desc.Methods, func(m MethodDesc) bool { return m.Name == name })
			if i < 0 {
				s.fail("%v: %s has no RPC %q; its RPCs are %s", l.Level, c.desc.Name, name, c.rpcNames())
				continue
			}
			s.check(name, policy.CheckWritten(l.Methods[name], c.desc.Methods[i].rpc()))
		}
	}
}

func (c *Client) rpcNames() string {
	names := make([]string, len(c.desc.Methods))
	for i, m := range c.desc.Methods {
		names[i] = m.Name
	}
	return strings.Join(names, ", ")
}

// startOverride takes over the document that is in force when the client is made. One that this client cannot take must not
// keep a program from starting: it is left out, and reported where the document is.
func (c *Client) startOverride(s *Settings) {
	if c.overrides = s.overrides; c.overrides != nil {
		doc, version := c.overrides.current()
		if doc != nil && len(c.checkOverride(doc)) == 0 {
			c.override, c.overrideVersion = doc.Layers(c.desc.Name, policy.LevelOverride), version
		}
	}
	merged, _ := c.withOverride().Service()
	c.atStart, c.dial = merged, policy.Complete(merged).Dial
}

// compileMethods makes each RPC's first plan.
func (c *Client) compileMethods(s *Settings) {
	for _, d := range c.desc.Methods {
		m := &method{client: c, name: d.Name, fullName: "/" + c.desc.Name + "/" + d.Name, rpc: d.rpc(), fallback: s.methods[d.Name].fallback}
		effective, _, _ := c.layers.Method(m.name, m.rpc)
		s.check(d.Name, checkMethod(effective))
		c.methods[m.fullName] = m
	}
	c.unaryDefault = &method{client: c}
	c.streamDefault = &method{client: c, rpc: policy.RPC{ClientStreaming: true, ServerStreaming: true}}
	if len(s.errs) == 0 { // or else there is no client: guards are made from policies that were checked
		c.compile(c.withOverride())
	}
}

// checkMethod reports what is wrong with the merged policy of an RPC.
func checkMethod(m *policy.Method) policy.Problems {
	ps := policy.ValidateEffectiveMethod(m)
	if name := policy.Value(m.Compressor); name != "" && name != encoding.Identity && encoding.GetCompressor(name) == nil {
		ps = append(ps, policy.Problem{Path: "compressor", Text: fmt.Sprintf("%q is not registered with grpc; import the package that registers it, such as google.golang.org/grpc/encoding/gzip for \"gzip\"", name)})
	}
	return ps
}

// compile makes each RPC's plan, and puts them in force.
func (c *Client) compile(layers policy.Stack) {
	merged, _ := layers.Service()
	service := c.guards.followService(c, policy.Complete(merged))
	methods := append(slices.Collect(maps.Values(c.methods)), c.unaryDefault, c.streamDefault)
	plans := make([]*plan, len(methods))
	ledgers := make(map[ledgerTargets]*ledger.Ledger)
	limits := present(nil, c.guards.limit)
	for i, m := range methods {
		plans[i] = m.compile(layers, service)
		plans[i].writeDown(c, ledgers)
		limits = present(limits, m.guards.limit)
	}
	c.limits.Store(&limits) // before a call can be counted there
	c.ledgers.add(ledgers)
	for i, m := range methods {
		m.plan.Store(plans[i])
	}
	c.ledgers.keep(ledgers)
	if c.channel != nil && c.asksWhere() {
		c.channel.state.Record(true)
	}
}

// present appends g to list, unless it is nil.
func present[G any](list []*G, g *G) []*G {
	if g == nil {
		return list
	}
	return append(list, g)
}

// permitted returns how many calls are counted by the permit that they hold.
func (c *Client) permitted() (n int64) {
	if limits := c.limits.Load(); limits != nil {
		for _, l := range *limits {
			n += l.Calls()
		}
	}
	return n
}

// asksWhere tells whether attempts of any RPC want to know where they went: to go elsewhere next, or to tell.
func (c *Client) asksWhere() bool {
	if c.observer != nil {
		return true
	}
	for _, m := range c.methods {
		if m.plan.Load().asksWhere() {
			return true
		}
	}
	return c.unaryDefault.plan.Load().asksWhere() || c.streamDefault.plan.Load().asksWhere()
}

func (p *plan) asksWhere() bool { return !p.bare || p.retry != nil || p.idle > 0 }

// judgesStreams tells whether the balancer wants to know how streams end.
func (c *Client) judgesStreams() bool { return c.channel != nil && c.channel.judges.Load() }

// gone is closed once the channel is; nil if there is none.
func (c *Client) gone() <-chan struct{} {
	if c.channel == nil {
		return nil
	}
	return c.channel.closed
}

func (c *Client) isGone() bool {
	select {
	case <-c.gone():
		return true
	default:
		return false
	}
}

// records returns the channel whose balancer tells attempts where they went: where it picks by itself. nil is none.
func (c *Client) records() *attempt.Channel {
	if c.channel == nil || c.channel.delegates.Load() {
		return nil
	}
	return c.channel.state.Identity()
}

// apart returns ctx for an attempt that has no record.
func (c *Client) apart(ctx context.Context) context.Context {
	if channel := c.records(); channel != nil {
		return attempt.Apart(ctx, channel)
	}
	return ctx
}

// hashes tells whether endpoints are chosen by the key of a call.
func (c *Client) hashes() bool { return c.channel != nil && c.channel.hashes.Load() }

// setServiceConfig makes the resolver's service config part of each RPC's policy. The channel calls it, under its lock.
func (c *Client) setServiceConfig(sc *discovery.ServiceConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serviceConfig = sc
	c.compile(c.stack())
}

// stack returns all layers, with those of the override and of the resolver's service config in their place; c.mu is held.
func (c *Client) stack() policy.Stack {
	layers := c.with(c.override)
	if c.serviceConfig == nil {
		return layers
	}
	given := policy.Layer{Level: policy.LevelServiceConfig, Methods: make(map[string]*policy.Method)}
	for _, d := range c.desc.Methods {
		if m := c.serviceConfig.Method(c.desc.Name, d.Name); m != nil {
			if d.rpc().Streaming() && m.Retry != nil { // it stays with grpc, which alone can replay a stream
				m = policy.Clone(m)
				m.Retry = nil
			}
			given.Methods[d.Name] = m
		}
	}
	layers = append(layers, given)
	sortLayers(layers)
	return layers
}

// rpcs names the RPCs for the rewriting of a service config.
func (c *Client) rpcs() []discovery.RPC {
	out := make([]discovery.RPC, len(c.desc.Methods))
	for i, d := range c.desc.Methods {
		out[i] = discovery.RPC{Service: c.desc.Name, Method: d.Name, Streaming: d.rpc().Streaming()}
		if out[i].Streaming {
			out[i].Retry = c.methods["/"+c.desc.Name+"/"+d.Name].plan.Load().effective.Retry
		}
	}
	return out
}

// Conn returns a connection for other stubs on the same target: over the client's channel, under its interceptors and the
// method defaults of its service, without the policy of any one RPC.
func (c *Client) Conn() grpc.ClientConnInterface { return serviceConn{client: c} }

// WaitReady waits until dial.min_ready endpoints are READY, health included, until ctx ends, or, with
// dial.fail_on_permanent_error, which is the default, until every endpoint has failed for good; dial.timeout does not count
// here. The error is a [*DialError]. With [WithConn] it waits for a *grpc.ClientConn to be READY and for nothing else.
func (c *Client) WaitReady(ctx context.Context) error {
	if c.calls.Closed() {
		return ErrClosed
	}
	dial := *c.dial
	dial.Timeout = policy.Set(noTimeout)
	return c.waitReady(ctx, &dial)
}

func (c *Client) waitReady(ctx context.Context, dial *policy.Dial) error {
	switch {
	case c.channel != nil:
		return c.channel.waitReady(ctx, c.closed, dial)
	case c.grpc != nil:
		return waitConn(ctx, c.grpc, *dial.Timeout)
	default:
		return nil
	}
}

// Close refuses new calls and closes the channel that was made with the client; its running calls fail with CANCELLED. A
// channel of [WithChannel] and a connection of [WithConn] stay open. A second Close does nothing.
func (c *Client) Close() error {
	c.refuse()
	return c.release()
}

// Shutdown refuses new calls, waits for the running ones, and closes the client as Close does. If ctx ends first it closes at
// once, and returns the context's error beside that of Close.
func (c *Client) Shutdown(ctx context.Context) error {
	c.refuse()
	waited := c.calls.Wait(ctx)
	return errors.Join(waited, c.release())
}

// refuse ends what waits for the client and refuses new calls.
func (c *Client) refuse() {
	if c.calls.Close() {
		close(c.closed)
	}
}

// release gives the channel back. A second time it does nothing.
func (c *Client) release() error {
	if c.overrides != nil {
		c.overrides.detach(c)
	}
	if c.channel == nil {
		return nil
	}
	c.channel.leave(c)
	if c.owned {
		return c.channel.Close()
	}
	return nil
}
