package discovery

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// wrapped is a wrapper around a resolver that the test plays, before a grpc that the test plays too.
type wrapped struct {
	*Wrapper
	builder *playedBuilder
	grpc    *playedConn
	hooks   *recordedHooks
}

type playedBuilder struct {
	err    error
	conn   resolver.ClientConn
	closed int
}

func (b *playedBuilder) Scheme() string { return "played" }
func (b *playedBuilder) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	b.conn = cc
	return b, b.err
}
func (b *playedBuilder) ResolveNow(resolver.ResolveNowOptions) {}
func (b *playedBuilder) Close()                                { b.closed++ }

type playedConn struct {
	resolver.ClientConn
	mu     sync.Mutex
	states []resolver.State
	errs   []error
}

func (c *playedConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
	return nil
}
func (c *playedConn) ReportError(err error) { c.errs = append(c.errs, err) }
func (c *playedConn) ParseServiceConfig(js string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Config: parsedConfig{js: js}}
}

type parsedConfig struct {
	serviceconfig.Config
	js string
}

func (c *playedConn) last() resolver.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[len(c.states)-1]
}

type recordedHooks struct {
	applied  []*ServiceConfig
	rendered string
	resolved int
	guard    GuardConfig
	failed   []error
}

type attachedKey struct{}

func wrap(t *testing.T, b *playedBuilder) *wrapped {
	t.Helper()
	fallback, err := ParseServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"9s"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	h := &recordedHooks{rendered: "{}"}
	w := &wrapped{builder: b, grpc: &playedConn{}, hooks: h}
	w.Wrapper = Wrap(b, fallback, Hooks{
		Attach: func(a *attributes.Attributes) *attributes.Attributes { return a.WithValue(attachedKey{}, "channel") },
		Guard:  func() GuardConfig { return h.guard },
		Apply:  func(sc *ServiceConfig) string { h.applied = append(h.applied, sc); return h.rendered },
		Resolved: func(invalid error) {
			h.resolved++
			if invalid != nil {
				h.failed = append(h.failed, invalid)
			}
		},
		Failed: func(err error) { h.failed = append(h.failed, err) },
	})
	return w
}

func (w *wrapped) build(t *testing.T) resolver.Resolver {
	t.Helper()
	r, err := w.Build(resolver.Target{}, w.grpc, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func addresses(a ...string) (s resolver.State) {
	for _, addr := range a {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: addr})
	}
	return s
}

func TestWrapperAttachesTheChannelAndTheConfig(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.build(t)
	_ = w.builder.conn.UpdateState(addresses("a:1", "b:2"))
	got := w.grpc.last()
	if got.Attributes.Value(attachedKey{}) != "channel" || len(got.Addresses) != 2 || got.ServiceConfig.Config.(parsedConfig).js != "{}" {
		t.Fatalf("state = %+v", got)
	}
	if len(w.hooks.applied) != 1 || w.hooks.applied[0].Method("x", "y") == nil {
		t.Fatal("the fallback must be in force while the resolver gives no config")
	}
	if w.hooks.resolved != 1 || len(w.hooks.failed) != 0 {
		t.Fatalf("resolved = %d, failed = %v", w.hooks.resolved, w.hooks.failed)
	}
}

func TestWrapperKeepsTheOldConfigOverAnInvalidOne(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.build(t)
	s := addresses("a:1")
	s.ServiceConfig = w.builder.conn.ParseServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"1s"}]}`)
	_ = w.builder.conn.UpdateState(s)
	good := w.hooks.applied[0]
	s.ServiceConfig = w.builder.conn.ParseServiceConfig(`{"loadBalancingConfig":[{"nobody":{}}]}`)
	_ = w.builder.conn.UpdateState(s)
	if len(w.hooks.applied) != 2 || w.hooks.applied[1] != good {
		t.Fatal("the old config is no longer in force")
	}
	var invalid *ServiceConfigError
	if len(w.hooks.failed) != 1 || !errors.As(w.hooks.failed[0], &invalid) || !strings.Contains(invalid.Error(), `"nobody"`) {
		t.Fatalf("failed = %v", w.hooks.failed)
	}
	if w.grpc.last().ServiceConfig.Err != nil {
		t.Fatal("grpc was given the invalid config")
	}
}

func TestWrapperFailsWhileTheFirstConfigIsInvalid(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.build(t)
	s := addresses("a:1")
	s.ServiceConfig = w.builder.conn.ParseServiceConfig(`{`)
	_ = w.builder.conn.UpdateState(s)
	if w.grpc.last().ServiceConfig.Err == nil || len(w.hooks.applied) != 0 {
		t.Fatal("gRFC A21: without a good config the channel must fail")
	}
	s.ServiceConfig = &serviceconfig.ParseResult{Config: parsedConfig{}}
	_ = w.builder.conn.UpdateState(s)
	if w.grpc.last().ServiceConfig.Err == nil {
		t.Fatal("a config that was not parsed by the ClientConn would pass unseen")
	}
}

func TestWrapperPushesTheLastState(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.Push() // before anything is built
	r := w.build(t)
	w.Push() // before the first state
	if len(w.grpc.states) != 0 {
		t.Fatal("a push without a state")
	}
	_ = w.builder.conn.UpdateState(addresses("a:1"))
	same := w.grpc.last().ServiceConfig
	w.Push()
	if len(w.grpc.states) != 2 || w.grpc.last().ServiceConfig != same {
		t.Fatalf("%d states; want a second with the same parsed config", len(w.grpc.states))
	}
	w.hooks.rendered = `{"changed":true}`
	w.Push()
	if got := w.grpc.last().ServiceConfig.Config.(parsedConfig).js; got != w.hooks.rendered {
		t.Fatalf("config = %s", got)
	}
	r.Close()
	w.Push()
	if len(w.grpc.states) != 3 || w.builder.closed != 1 {
		t.Fatal("a push after Close")
	}
}

func TestWrapperReportsErrors(t *testing.T) {
	broken := errors.New("broken")
	w := wrap(t, &playedBuilder{err: broken})
	if _, err := w.Build(resolver.Target{}, w.grpc, resolver.BuildOptions{}); err != broken || w.hooks.failed[0] != broken {
		t.Fatalf("Build: %v, reported %v", err, w.hooks.failed)
	}
	w = wrap(t, &playedBuilder{})
	w.build(t)
	w.builder.conn.ReportError(broken)
	if w.hooks.failed[0] != broken || w.grpc.errs[0] != broken {
		t.Fatal("the error must reach the channel and grpc")
	}
}

func TestWrapperTakesTheOldFormOfAState(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.build(t)
	//lint:ignore SA1019 resolvers of others still use it
	w.builder.conn.NewAddress([]resolver.Address{{Addr: "a:1"}})
	if got := w.grpc.last(); got.Attributes.Value(attachedKey{}) == nil || len(got.Addresses) != 1 {
		t.Fatalf("state = %+v", got)
	}
}

func TestWrapperRemembersAConfigThatIsGivenAgain(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	r := w.build(t)
	s := addresses("a:1")
	s.ServiceConfig = w.builder.conn.ParseServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"1s"}]}`)
	_ = w.builder.conn.UpdateState(s)
	for range 2 * maxRemembered {
		w.builder.conn.ParseServiceConfig(`{}`)
	}
	_ = w.builder.conn.UpdateState(s)
	r.Close()
	w.build(t)
	_ = w.builder.conn.UpdateState(s) // as a resolver does that replays its last state
	if len(w.hooks.failed) != 0 {
		t.Fatalf("failed = %v", w.hooks.failed)
	}
}

func TestWrapperSerialisesPushesWithStates(t *testing.T) {
	w := wrap(t, &playedBuilder{})
	w.build(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				w.Push()
			}
		})
	}
	for range 100 {
		_ = w.builder.conn.UpdateState(addresses("a:1"))
	}
	_ = w.builder.conn.UpdateState(addresses("a:1", "b:2"))
	all.Wait()
	if n := len(w.grpc.last().Addresses); n != 2 {
		t.Fatalf("a push overtook the last state: %d addresses", n)
	}
}

func TestWrapperKeepsWhatAnEmptyListTakesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wrap(t, &playedBuilder{})
		w.hooks.guard = GuardConfig{EmptyGrace: 30 * time.Second, MaxRemovedRatio: 0.5}
		r := w.build(t)
		shown := func() int { return len(endpointsOf(w.grpc.last())) }
		_ = w.builder.conn.UpdateState(addresses("a:1", "b:1", "c:1", "d:1"))
		_ = w.builder.conn.UpdateState(addresses())
		if shown() != 4 {
			t.Fatalf("%d endpoints are shown at once, want 4", shown())
		}
		time.Sleep(29 * time.Second)
		w.builder.conn.ReportError(errors.New("the registry is away")) // what it said last is in doubt again
		time.Sleep(time.Hour)
		synctest.Wait()
		if shown() != 4 {
			t.Fatalf("%d endpoints are shown while the registry is away, want 4", shown())
		}
		_ = w.builder.conn.UpdateState(addresses())
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if shown() != 0 {
			t.Fatalf("%d endpoints are shown after the grace, want none", shown())
		}
		_ = w.builder.conn.UpdateState(addresses("a:1", "b:1"))
		_ = w.builder.conn.UpdateState(addresses())
		r.Close()
		pushed := len(w.grpc.states)
		time.Sleep(time.Hour)
		if len(w.grpc.states) != pushed {
			t.Fatal("a state after Close")
		}
	})
}
