package discovery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"

	"google.golang.org/grpc/resolver"
)

// EnvOption changes what [NewEnvBuilder] returns.
type EnvOption interface{ applyEnv(*envBuilder) }

type envOption func(*envBuilder)

func (o envOption) applyEnv(b *envBuilder) { o(b) }

// WithLookupEnv replaces where variables are read. Default: [os.LookupEnv].
func WithLookupEnv(lookup func(name string) (value string, ok bool)) EnvOption {
	return envOption(func(b *envBuilder) { b.lookupEnv = lookup })
}

// NewEnvBuilder returns the builder for targets that stand in an environment variable:
//
//	env:///INVENTORY_TARGET
//	env:///INVENTORY_TARGET?default=localhost:50051
//
// The variable holds a list of endpoints in the grammar of [ParseEndpoints], or a whole target to follow, which
// begins with a scheme and "://" and is found by lookup: dns:///inventory:443. It may not be another variable. All
// text after "default=" stands in where the variable is unset or empty; it is percent-decoded once.
//
// The variable is read when the channel connects, and again whenever grpc asks to resolve anew, as after the loss of
// a connection. A changed list is taken over in place; another target replaces the one followed. One that cannot be
// used is reported as a [*ConfigError], and what was used last stays in use.
func NewEnvBuilder(lookup func(scheme string) resolver.Builder, opts ...EnvOption) resolver.Builder {
	b := &envBuilder{lookup: lookup, lookupEnv: os.LookupEnv, pacing: pacing{random: rand.Float64, sleep: sleep}}
	for _, o := range opts {
		o.applyEnv(b)
	}
	return b
}

const envScheme = "env"

type envBuilder struct {
	lookup    func(scheme string) resolver.Builder
	lookupEnv func(name string) (string, bool)
	pacing    pacing
}

// variable is what a target of the scheme says.
type variable struct {
	target   string // as written
	name     string
	fallback string // "" if there is none
}

// destination is what a variable says: a list, or a target to follow.
type destination struct {
	text      string
	endpoints []Endpoint
	target    Target
	builder   resolver.Builder // nil for a list
}

// Scheme implements [resolver.Builder].
func (b *envBuilder) Scheme() string { return envScheme }

// Check implements [Checker]. It looks at the target and its default, not at the variable, which may change.
func (b *envBuilder) Check(target Target) error {
	v, err := parseVariable(target)
	if err != nil || v.fallback == "" {
		return err
	}
	_, err = b.destination(v, v.fallback)
	return err
}

// Build implements [resolver.Builder]. Its only error is a [*ConfigError] about the target itself.
func (b *envBuilder) Build(
	t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions,
) (resolver.Resolver, error) {
	target := targetOf(t)
	if err := b.Check(target); err != nil {
		return nil, err
	}
	v, err := parseVariable(target)
	if err != nil {
		return nil, err
	}
	return startEnv(b, v, cc, opts), nil
}

// OverrideAuthority implements [resolver.AuthorityOverrider]. What the variable says now counts; once it changes,
// addresses carry a name of their own.
func (b *envBuilder) OverrideAuthority(t resolver.Target) string {
	v, err := parseVariable(targetOf(t))
	if err != nil {
		return localAuthority
	}
	d, err := b.read(v)
	switch {
	case err != nil:
		return localAuthority
	case d.builder == nil:
		return listAuthority(d.endpoints)
	}
	return authorityOf(d.builder, d.target)
}

// authorityOf is the authority that grpc gives a channel to target.
func authorityOf(b resolver.Builder, target Target) string {
	if o, ok := b.(resolver.AuthorityOverrider); ok {
		return o.OverrideAuthority(target.Target)
	}
	// What RFC 3986, section 3.2, allows in an authority, and "localhost" where the host was left out.
	name := percentEncode(target.Endpoint(), "-_.~!$&'()*+,;=:[]@")
	if strings.HasPrefix(name, ":") {
		return localAuthority + name
	}
	return name
}

// read returns what the variable says now.
func (b *envBuilder) read(v variable) (destination, error) {
	value, ok := b.lookupEnv(v.name)
	value = strings.TrimSpace(value)
	switch {
	case value != "":
		return b.destination(v, value)
	case v.fallback != "":
		return b.destination(v, v.fallback)
	}
	state := "is not set"
	if ok {
		state = "is empty"
	}
	return destination{}, badTarget(v.target, "the environment variable %s %s; "+
		"set it to a list such as %s=10.0.0.1:443,10.0.0.2:443 "+
		"or to a target such as dns:///host:443, or write a default into the target: "+
		"env:///%s?default=localhost:443",
		v.name, state, v.name, v.name)
}

func (b *envBuilder) destination(v variable, text string) (destination, error) {
	d := destination{text: text}
	var err error
	if scheme, ok := urlScheme(text); !ok {
		d.endpoints, err = ParseEndpoints(text)
	} else if scheme == envScheme {
		err = badTarget("", "is an environment variable again, which is not followed; "+
			"write the endpoints or another target into it")
	} else if d.target, d.builder, err = ParseTarget(text, b.lookup); err == nil {
		if c, ok := d.builder.(Checker); ok {
			err = c.Check(d.target)
		}
	}
	var c *ConfigError
	if errors.As(err, &c) {
		value := c.Value
		if value == "" {
			value = text
		}
		err = &ConfigError{Target: v.target, Value: value, Problems: c.Problems}
	}
	return d, err
}

// urlScheme tells a whole target from a list, in which "://" may stand later, as in metadata.
func urlScheme(text string) (string, bool) {
	scheme, _, ok := strings.Cut(text, "://")
	if !ok || scheme == "" || strings.Trim(scheme, "+"+hostCharacters) != "" {
		return "", false
	}
	return strings.ToLower(scheme), true
}

func parseVariable(target Target) (variable, error) {
	u := target.URL
	v := variable{target: target.String(), name: target.Endpoint()}
	var problems []Problem
	problem := func(value, format string, args ...any) {
		problems = append(problems, Problem{Value: value, Text: fmt.Sprintf(format, args...)})
	}
	switch {
	case u.Host != "" || u.User != nil:
		problem(u.Host, "stands where a URL has its host; write three slashes, env:///%s", u.Host)
	case v.name == "":
		problem("", "the name of a variable is missing; write env:///NAME")
	case strings.Trim(v.name, hostCharacters) != "":
		problem(v.name, "is no name of a variable; write letters, digits and underscores: env:///NAME")
	}
	raw, ok := strings.CutPrefix(u.RawQuery, "default=")
	fallback, err := url.PathUnescape(raw)
	v.fallback = strings.TrimSpace(fallback)
	switch {
	case u.RawQuery == "" && !u.ForceQuery:
	case !ok:
		problem("?"+u.RawQuery, "is not understood; write ?default=ENDPOINTS, or leave it out")
	case err != nil:
		problem(raw, "has a percent sign without two hexadecimal digits after it; write %%25 for the sign itself")
	case v.fallback == "":
		problem("?"+u.RawQuery, "has no value; write ?default=ENDPOINTS, or leave it out")
	}
	if u.Fragment != "" {
		problem("#"+u.EscapedFragment(), "is a fragment, which has no meaning here; write %%23 for the hash sign itself")
	}
	if len(problems) > 0 {
		return variable{}, &ConfigError{Target: v.target, Problems: problems}
	}
	return v, nil
}
