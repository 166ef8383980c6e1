package discovery

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
)

// variables stand in for the environment.
type variables struct {
	mu     sync.Mutex
	values map[string]string
}

func (v *variables) lookup(name string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.values[name]
	return value, ok
}

func (v *variables) set(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[name] = value
}

func (v *variables) unset(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.values, name)
}

// followable is a builder whose resolvers the test speaks for.
type followable struct {
	scheme    string
	atBuild   []string // addresses to report inside of Build
	errs      []error  // of the next Builds
	authority string

	built []*followableResolver
}

type followableResolver struct {
	cc       resolver.ClientConn
	resolves int
	closed   bool
}

func (b *followable) Scheme() string                                { return b.scheme }
func (b *followable) OverrideAuthority(t resolver.Target) string    { return b.authority }
func (r *followableResolver) ResolveNow(resolver.ResolveNowOptions) { r.resolves++ }
func (r *followableResolver) Close()                                { r.closed = true }

func (b *followable) Build(
	_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions,
) (resolver.Resolver, error) {
	r := &followableResolver{cc: cc}
	b.built = append(b.built, r)
	if b.atBuild != nil {
		_ = r.push(b.atBuild...)
	}
	if len(b.errs) > 0 {
		err := b.errs[0]
		b.errs = b.errs[1:]
		return nil, err
	}
	return r, nil
}

func (r *followableResolver) push(addresses ...string) error {
	var s resolver.State
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	return r.cc.UpdateState(s)
}

// envFixture follows env:///X, with builders for x:// and y:// to follow.
type envFixture struct {
	*capture
	vars *variables
	x, y *followable
	r    resolver.Resolver
}

func startEnvFixture(t *testing.T, target, value string, opts resolver.BuildOptions) *envFixture {
	t.Helper()
	f := &envFixture{
		capture: &capture{t: t}, vars: &variables{values: map[string]string{}},
		x: &followable{scheme: "x", authority: "x.example"}, y: &followable{scheme: "y", authority: "y.example"},
	}
	if value != "" {
		f.vars.set("X", value)
	}
	var find func(string) resolver.Builder
	env := NewEnvBuilder(func(s string) resolver.Builder { return find(s) }, WithLookupEnv(f.vars.lookup))
	env.(*envBuilder).pacing.random = func() float64 { return 0.5 }
	find = Lookup([]resolver.Builder{env, f.x, f.y})
	parsed, _, err := ParseTarget(target, find)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Authority == "" {
		opts.Authority = env.(resolver.AuthorityOverrider).OverrideAuthority(parsed.Target)
	}
	if f.r, err = env.Build(parsed.Target, f.capture, opts); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return f
}

// say sets the variable and has it read.
func (f *envFixture) say(value string) {
	if f.vars.set("X", value); value == "" {
		f.vars.unset("X")
	}
	f.r.ResolveNow(resolver.ResolveNowOptions{})
	synctest.Wait()
}

func (f *envFixture) mustSay(err error, parts ...string) {
	f.t.Helper()
	var c *ConfigError
	if !errors.As(err, &c) || !strings.HasPrefix(c.Target, "env:///X") {
		f.t.Fatalf("got %v, want a ConfigError of the target", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			f.t.Errorf("%q does not say %q", err, p)
		}
	}
}

func TestEnvListChangesInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startEnvFixture(t, "env:///X", " a:1,b:1;weight=3\n", resolver.BuildOptions{})
		defer f.r.Close()
		f.expect(1, 0, "a:1", "b:1")
		if set := SetOf(f.last()); set.Endpoints[1].Weight != 3 {
			t.Errorf("got %+v", set)
		}
		before := f.last()
		f.say(" a:1,b:1;weight=3\n")
		f.expect(1, 0, "a:1", "b:1") // nothing changed
		f.say("a:1,c:1")
		f.expect(2, 0, "a:1", "c:1")
		if &before.Endpoints[0].Addresses[0] != &f.last().Endpoints[0].Addresses[0] {
			t.Error("the endpoint that stayed was replaced")
		}
		if SetOf(f.last()).Revision <= SetOf(before).Revision {
			t.Error("the revision did not grow")
		}
	})
}

func TestEnvKeepsTheLastGoodList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startEnvFixture(t, "env:///X", "a:1", resolver.BuildOptions{})
		defer f.r.Close()
		f.say("a:1,b")
		f.expect(2, 1, "a:1") // once more, as stale
		f.mustSay(f.lastError(), `value "a:1,b"`, "column 5", "write b:443")
		if !IsPermanent(SetOf(f.last()).Stale) {
			t.Errorf("got stale %v", SetOf(f.last()).Stale)
		}
		f.say("a:1,b")
		f.expect(2, 1, "a:1") // said already
		f.say("")
		f.expect(2, 2, "a:1")
		f.mustSay(f.lastError(), "X is not set")
		f.say("zk:///b")
		f.mustSay(f.lastError(), `scheme "zk"`)
		f.say("env:///Y")
		f.mustSay(f.lastError(), "is not followed")
		f.say("static:///b")
		f.mustSay(f.lastError(), `value "b": column 1`)
		f.expect(2, 5, "a:1")
		f.say("a:1")
		f.expect(3, 5, "a:1")
		if SetOf(f.last()).Stale != nil {
			t.Error("still stale")
		}
	})
}

func TestEnvUnset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startEnvFixture(t, "env:///X", "", resolver.BuildOptions{})
		defer f.r.Close()
		f.expect(0, 1)
		f.mustSay(f.lastError(), "X is not set", "X=10.0.0.1:443", "env:///X?default=localhost:443")
		f.say(" ")
		f.expect(0, 2)
		f.mustSay(f.lastError(), "X is empty")
		f.say("a:1")
		f.expect(1, 2, "a:1")
	})
}

func TestEnvDefault(t *testing.T) {
	tests := []struct{ name, target, value, want string }{
		{"list", "env:///X?default=a:1", "", "a:1"},
		{"variable wins", "env:///X?default=a:1", "b:1", "b:1"},
		{"decoded once", "env:///X?default=unix:/a%252Cb", "", "unix:/a,b"},
		{"plus and ampersand stay", "env:///X?default=unix:/a&b+c:1", "", "unix:/a&b"},
		{"target", "env:///X?default=static:///a:1", "", "a:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := startEnvFixture(t, tt.target, tt.value, resolver.BuildOptions{})
				defer f.r.Close()
				f.expect(1, 0, tt.want)
			})
		})
	}
}

func TestEnvFollowsTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startEnvFixture(t, "env:///X", "x:///one", resolver.BuildOptions{})
		one := f.x.built[0]
		f.expect(0, 0)
		if err := one.push("a:1"); err != nil {
			t.Fatal(err)
		}
		f.expect(1, 0, "a:1")
		f.say("x:///one")
		if one.resolves != 1 || one.closed {
			t.Errorf("got %d resolves, closed %v", one.resolves, one.closed)
		}

		f.say("y:///two")
		two := f.y.built[0]
		if !one.closed {
			t.Error("the resolver before was left open")
		}
		_ = one.push("late:1")
		one.cc.ReportError(errBackend)
		f.expect(1, 0, "a:1") // kept until the new one speaks
		//lint:ignore SA1019 an old resolver of a third party still calls it.
		two.cc.NewAddress([]resolver.Address{{Addr: "b:1"}})
		f.expect(2, 0, "b:1")

		f.say("c:1")
		f.expect(3, 0, "c:1")
		if !two.closed {
			t.Error("the resolver before was left open")
		}
		f.say("x:///three")
		_ = f.x.built[1].push("d:1")
		f.say("c:1") // the same list as before, over another target: it has to be said again
		f.expect(5, 0, "c:1")

		f.say("x:///four")
		f.x.built[2].cc.ReportError(errBackend)
		f.expect(5, 1, "c:1")
		f.r.Close()
		if !f.x.built[2].closed {
			t.Error("the resolver was left open")
		}
		_ = f.x.built[2].push("late:1")
		f.expect(5, 1, "c:1")
	})
}

func TestEnvKeepsWhatItFollowsWhileTheNextFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startEnvFixture(t, "env:///X", "x:///one", resolver.BuildOptions{})
		defer f.r.Close()
		one := f.x.built[0]
		_ = one.push("a:1")
		f.y.atBuild = []string{"b:1"}
		f.y.errs = []error{errBackend, errBackend}
		f.say("y:///two")
		f.expect(1, 1, "a:1") // what was said inside a Build that failed is not used
		_ = one.push("a:2")
		f.expect(2, 1, "a:2")
		time.Sleep(time.Minute)
		synctest.Wait()
		f.expect(3, 1, "b:1") // the same error is not told twice
		if len(f.y.built) != 3 || !one.closed {
			t.Errorf("built %d times, the one before closed: %v", len(f.y.built), one.closed)
		}
		_ = f.y.built[0].push("late:1")
		f.expect(3, 1, "b:1")
	})
}

func TestEnvNamesServersAfterASwitch(t *testing.T) {
	name := func(f *envFixture) string { return f.last().Endpoints[0].Addresses[0].ServerName }
	tests := []struct {
		name         string
		creds        credentials.TransportCredentials
		first, value string
		want         string // "" leaves it to the channel's authority
	}{
		{"the target that the channel was made for", insecure.NewCredentials(), "x:///one", "x:///two", ""},
		{"another target", insecure.NewCredentials(), "x:///one", "y:///two", "y.example"},
		{"nothing before", insecure.NewCredentials(), "", "y:///two", "y.example"},
		{"credentials name the server", namedCreds{insecure.NewCredentials()}, "x:///one", "y:///two", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := startEnvFixture(t, "env:///X", tt.first, resolver.BuildOptions{DialCreds: tt.creds})
				defer f.r.Close()
				f.x.atBuild, f.y.atBuild = []string{"a:1"}, []string{"b:1"}
				f.say(tt.value)
				if got := name(f); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// namedCreds are credentials with a server name, as of a tls.Config.
type namedCreds struct {
	credentials.TransportCredentials
}

func (namedCreds) Info() credentials.ProtocolInfo {
	//lint:ignore SA1019 what users have in their programs is what is tested here.
	return credentials.ProtocolInfo{ServerName: "named.example"}
}

func TestEnvAuthority(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"unset", "", "localhost"},
		{"malformed", "a", "localhost"},
		{"list", "a:1,b:1", "a:1"},
		{"socket", "unix:/a", "localhost"},
		{"target with a builder that chooses", "x:///one", "x.example"},
		{"target", "passthrough:///h ost:1", "h%20ost:1"},
		{"port alone", "passthrough:///:1", "localhost:1"},
		{"static", "static:///c:1", "c:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars := &variables{values: map[string]string{"X": tt.value}}
			find := Lookup([]resolver.Builder{&followable{scheme: "x", authority: "x.example"}})
			b := NewEnvBuilder(find, WithLookupEnv(vars.lookup))
			target, _, err := ParseTarget("env:///X", find)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.(resolver.AuthorityOverrider).OverrideAuthority(target.Target); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
