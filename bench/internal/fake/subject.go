package fake

import (
	"math"
	"sync"
	"testing"
	"time"

	grpcbalancer "google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/balancer"
)

// Subject is a balancer under measurement, over a channel of its own.
type Subject struct {
	Conn *Conn
	// Channel is that of ours; nil for a peer.
	Channel *balancer.Channel

	update func(resolver.State) error
	settle func()
	tick   func()
	close  func()
}

// Ours returns our balancer with a configuration. The timers for which it lets publications wait fire in [Subject.Settle], and
// all others in [Subject.Tick] alone: what happens each second or so is no part of an update.
func Ours(tb testing.TB, cfg balancer.Config) *Subject {
	if err := balancer.ValidateConfig(cfg); err != nil {
		tb.Fatal(err)
	}
	timers := new(timers)
	channel := balancer.NewChannel(cfg, balancer.Options{AfterFunc: timers.afterFunc})
	conn := new(Conn)
	lb := grpcbalancer.Get(balancer.Name).Build(conn, grpcbalancer.BuildOptions{})
	return &Subject{
		Conn:    conn,
		Channel: channel,
		update: func(s resolver.State) error {
			s.Attributes = channel.Attach(s.Attributes)
			return lb.UpdateClientConnState(grpcbalancer.ClientConnState{ResolverState: s})
		},
		settle: func() { timers.fire(publicationWindow) },
		tick:   func() { timers.fire(math.MaxInt64) },
		close:  lb.Close,
	}
}

// Peer returns a balancer that is registered with grpc, with its configuration in JSON.
func Peer(tb testing.TB, name, js string) *Subject {
	builder := grpcbalancer.Get(name)
	if builder == nil {
		tb.Fatalf("no balancer is registered as %q", name)
	}
	conn := new(Conn)
	lb := builder.Build(conn, grpcbalancer.BuildOptions{})
	var given grpcbalancer.ClientConnState
	if parser, ok := builder.(grpcbalancer.ConfigParser); ok {
		cfg, err := parser.ParseConfig([]byte(js))
		if err != nil {
			tb.Fatal(err)
		}
		given.BalancerConfig = cfg
	}
	return &Subject{
		Conn: conn,
		update: func(s resolver.State) error {
			given.ResolverState = s
			return lb.UpdateClientConnState(given)
		},
		settle: func() {},
		tick:   func() {},
		close:  lb.Close,
	}
}

// Update gives the balancer what a resolver says.
func (s *Subject) Update(tb testing.TB, state resolver.State) {
	if err := s.update(state); err != nil {
		tb.Fatal(err)
	}
}

// Settle returns once everything is published that waits for a timer of the balancer.
func (s *Subject) Settle() { s.settle() }

// Tick is Settle, and has ours do what it does in intervals. Peers go by the time.
func (s *Subject) Tick() { s.tick() }

// Close ends the balancer.
func (s *Subject) Close() { s.close() }

// BringUp gives the balancer an endpoint for each address and makes all READY.
func (s *Subject) BringUp(tb testing.TB, state resolver.State) {
	s.Update(tb, state)
	for _, sc := range s.Conn.Live() {
		sc.Becomes(connectivity.Connecting)
	}
	for _, sc := range s.Conn.Live() {
		sc.Becomes(connectivity.Ready)
	}
	s.Settle()
}

// publicationWindow bounds how long a publication waits for others.
const publicationWindow = 10 * time.Millisecond

// timers fire when they are told to.
type timers struct {
	mu      sync.Mutex
	running map[*timer]struct{}
}

type timer struct {
	of    *timers
	after time.Duration
	f     func()
}

func (t *timers) afterFunc(d time.Duration, f func()) balancer.Timer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = make(map[*timer]struct{})
	}
	started := &timer{t, d, f}
	t.running[started] = struct{}{}
	return started
}

// Stop implements [balancer.Timer].
func (t *timer) Stop() bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	_, was := t.of.running[t]
	delete(t.of.running, t)
	return was
}

// fire fires the timers that run now, of those that were started for no longer than most.
func (t *timers) fire(most time.Duration) {
	t.mu.Lock()
	var due []*timer
	for running := range t.running {
		if running.after <= most {
			due = append(due, running)
			delete(t.running, running)
		}
	}
	t.mu.Unlock()
	for _, d := range due {
		d.f()
	}
}
