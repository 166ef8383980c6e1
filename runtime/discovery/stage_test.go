package discovery

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/resolver"
)

// player is a resolver of another module, whose words the test says.
type player struct {
	scheme string

	mu       sync.Mutex
	err      error // of Build
	built    int
	closed   int
	resolved int
	opts     resolver.BuildOptions
	conn     resolver.ClientConn
}

func (p *player) Scheme() string { return p.scheme }

func (p *player) Build(_ resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.built++
	p.conn, p.opts = cc, opts
	return p, p.err
}

func (p *player) ResolveNow(resolver.ResolveNowOptions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resolved++
}

func (p *player) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed++
}

// stage is a channel over several targets: "a:///one", "b:///two" and so on, one for each player.
type stage struct {
	*capture
	players  []*player
	builder  *Targets
	resolver resolver.Resolver
}

func newStage(t *testing.T, n int) *stage {
	t.Helper()
	s := &stage{capture: &capture{t: t}}
	names := []string{"a:///one:1", "b:///two:2", "c:///three:3"}[:n]
	var builders []resolver.Builder
	for _, name := range names {
		p := &player{scheme: name[:1]}
		s.players = append(s.players, p)
		builders = append(builders, p)
	}
	b, err := NewTargets(Lookup(builders), names[0], names[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	s.builder = b
	return s
}

// build runs in a bubble: it returns once all resolvers are built.
func (s *stage) build() {
	s.resolver, _ = s.builder.Build(resolver.Target{}, s.capture, resolver.BuildOptions{Authority: s.builder.OverrideAuthority(resolver.Target{})})
	synctest.Wait()
}

func (s *stage) says(i int, a ...string) error { return s.players[i].conn.UpdateState(addresses(a...)) }
func (s *stage) fails(i int, err error)        { s.players[i].conn.ReportError(err) }

// set is what the last state shows.
func (s *stage) set() *Set { return SetOf(s.last()) }

func staged(t *testing.T, n int, f func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, n)
		s.build()
		f(t, s)
		s.resolver.Close()
		for i, p := range s.players {
			if p.built != p.closed && p.err == nil {
				t.Errorf("resolver %d was built %d times and closed %d times", i, p.built, p.closed)
			}
		}
		before, _ := s.count()
		time.Sleep(time.Hour)
		if after, _ := s.count(); after != before {
			t.Error("a state after Close")
		}
	})
}
