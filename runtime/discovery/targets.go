package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

// priorityStride is how far the priorities of one target and the next are apart: a target has room for its own.
const priorityStride = maxPriority + 1

// defaultPatience is how long a target may say nothing before those after it are used.
const defaultPatience = 10 * time.Second

// Targets is a resolver builder for several targets in order of preference, the primary first. It runs the resolver of each,
// of any scheme, and merges what they say into one list and one [Set]:
//
//   - Endpoints of a target come before those of the next, by priority: that of target i, counted from 0, is 128 × i more
//     than its own, which counts as 127 if it is greater. Weight, zone and metadata stay; an endpoint of a resolver that
//     is not of this package has weight 1. [Endpoint.Target] tells which target an endpoint is of. One that several
//     targets have, told by its addresses, is that of the first of them.
//   - An error of one target leaves the others in use. It is a [*TargetsError], as is Set.Stale. Only when all targets
//     have failed does the channel hear of it from grpc.
//   - The service config is that of the first target that gives one. A target whose config is invalid keeps the one
//     before, and counts as failed while there is none.
//   - At first a target is waited for before those after it are used, until it speaks or has been silent for 10 s
//     (within this module's channel, for load_balancing.failover.connect_timeout).
//   - Each target's endpoints are verified by TLS, and called by :authority, as they are where the target stands alone.
//
// Its scheme, URL and authority are those of the primary. It is for one channel. A [Wrapper] around it has each target
// guarded by itself, so that one registry that is emptied by mistake is not hidden by the other's endpoints.
type Targets struct {
	list   []oneOfTargets
	pacing pacing
	// guard and patience are asked each time; a Wrapper sets them before the first Build.
	guard    func() GuardConfig
	patience func() time.Duration

	// guards outlive the resolvers, as a channel's do.
	mu     sync.Mutex
	guards []*StateGuard
}

type oneOfTargets struct {
	target  Target
	builder resolver.Builder
}

// NewTargets returns the builder for a primary target and its backups. lookup is as in [ParseTarget]. The error names
// everything that is wrong with any of them, as [Validate] would.
func NewTargets(lookup func(scheme string) resolver.Builder, primary string, backup ...string) (*Targets, error) {
	b := &Targets{
		pacing:   pacing{random: rand.Float64, sleep: sleep},
		guard:    func() GuardConfig { return GuardConfig{} },
		patience: func() time.Duration { return defaultPatience },
	}
	all := append([]string{primary}, backup...)
	first := make(map[string]int)
	var errs []error
	for i, text := range all {
		one, err := oneTarget(text, lookup)
		if at, ok := first[one.target.URL.String()]; err == nil && ok {
			err = badTarget(text, "is target %d already; remove one", at+1)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("target %d of %d: %w", i+1, len(all), err))
			continue
		}
		first[one.target.URL.String()] = i
		b.list = append(b.list, one)
		b.guards = append(b.guards, NewStateGuard(GuardConfig{}))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return b, nil
}

func oneTarget(text string, lookup func(string) resolver.Builder) (oneOfTargets, error) {
	target, builder, err := ParseTarget(text, lookup)
	if err != nil {
		return oneOfTargets{}, err
	}
	if builder.Scheme() == "xds" {
		return oneOfTargets{}, badTarget(text, "brings balancing policies of its own, in which other targets' endpoints have no place; "+
			"let it be the only target, and name the backup in the xDS server's configuration")
	}
	if c, ok := builder.(Checker); ok {
		err = c.Check(target)
	}
	return oneOfTargets{target, builder}, err
}

// Primary returns the first target, whose URL a channel is made with.
func (b *Targets) Primary() Target { return b.list[0].target }

// Scheme implements [resolver.Builder].
func (b *Targets) Scheme() string { return b.list[0].builder.Scheme() }

// OverrideAuthority implements [resolver.AuthorityOverrider].
func (b *Targets) OverrideAuthority(resolver.Target) string { return b.list[0].authority() }

func (o oneOfTargets) authority() string { return authorityOf(o.builder, o.target) }

// Build implements [resolver.Builder]. It never fails: what is wrong with a target is reported, and tried again.
func (b *Targets) Build(_ resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &targetsResolver{builder: b, cc: cc, opts: opts, cancel: cancel}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, one := range b.list {
		r.members = append(r.members, &member{ClientConn: cc, owner: r, oneOfTargets: one, index: i})
	}
	r.waiting = time.AfterFunc(b.patience(), r.waited)
	for _, m := range r.members {
		r.running.Go(func() { m.run(ctx) })
	}
	return r, nil
}

// guarded returns what to show of what target i said last.
func (b *Targets) guarded(i int, s resolver.State, lost bool) (show resolver.State, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guards[i].Configure(b.guard())
	return b.guards[i].Apply(time.Now(), s, lost)
}
