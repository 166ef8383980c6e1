package goresilient

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// sharedPolicy is what a channel's own options and its clients say of the channel. A value of it is immutable.
type sharedPolicy struct {
	own     []policy.Layer // of the channel's options, which no client changes
	brought []contribution // of its clients, in the order of their arrival
}

// contribution is what one client brought. It stays when the client leaves, but for its override.
type contribution struct {
	owner  *Client // nil once the client has left
	layers []policy.Layer
}

// override returns the layers of the override alone.
func (b contribution) override() []policy.Layer {
	return slices.DeleteFunc(slices.Clone(b.layers), func(l policy.Layer) bool { return l.Level != policy.LevelOverride })
}

// written returns b without the override.
func (b contribution) written() contribution {
	b.layers = slices.DeleteFunc(slices.Clone(b.layers), func(l policy.Layer) bool { return l.Level == policy.LevelOverride })
	return b
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

// bringing returns p with the layers of a client: in the place of what it brought before, at the end if it is new.
func (p sharedPolicy) bringing(c *Client, layers []policy.Layer) sharedPolicy {
	p.brought = slices.DeleteFunc(slices.Clone(p.brought), func(b contribution) bool {
		return b.owner == nil && sameService(b.layers, layers)
	})
	brings := contribution{owner: c, layers: layers}
	if i := slices.IndexFunc(p.brought, func(b contribution) bool { return b.owner == c }); i >= 0 {
		p.brought[i] = brings
	} else {
		p.brought = append(p.brought, brings)
	}
	return p
}

// without returns p without what a client brought.
func (p sharedPolicy) without(c *Client) sharedPolicy {
	brought := slices.DeleteFunc(slices.Clone(p.brought), func(b contribution) bool { return b.owner == c })
	return sharedPolicy{own: p.own, brought: brought}
}

// orphaning returns p without reference to a client that leaves, and without its override, which nobody could change any
// more. Clients that come and go with one schema do not add up.
func (p sharedPolicy) orphaning(c *Client) sharedPolicy {
	i := slices.IndexFunc(p.brought, func(b contribution) bool { return b.owner == c })
	if i < 0 {
		return p
	}
	left := p.brought[i].written()
	rest := slices.Delete(slices.Clone(p.brought), i, i+1)
	if slices.ContainsFunc(rest, func(b contribution) bool { return sameService(b.layers, left.layers) }) {
		return sharedPolicy{own: p.own, brought: rest}
	}
	left.owner = nil
	return sharedPolicy{own: p.own, brought: slices.Insert(rest, i, left)}
}

// overriddenBy tells whether the override of a client says anything of the channel.
func (p sharedPolicy) overriddenBy(c *Client) bool {
	return slices.ContainsFunc(p.brought, func(b contribution) bool { return b.owner == c && len(b.override()) > 0 })
}

func sameService(a, b []policy.Layer) bool {
	mergedA, _ := policy.Stack(a).Service()
	mergedB, _ := policy.Stack(b).Service()
	return policy.Equal(mergedA, mergedB)
}

// stack returns all layers, lowest level first. Within a level a later client wins over an earlier one, and the channel's
// own options over both.
func (p sharedPolicy) stack(config *discovery.ServiceConfig) policy.Stack {
	var all policy.Stack
	for _, b := range p.brought {
		all = append(all, b.layers...)
	}
	if lb, health := config.LoadBalancing(), config.HealthService(); lb != nil || health != nil {
		given := &policy.Service{LoadBalancing: lb}
		if health != nil {
			given.HealthCheck = &policy.HealthCheck{ServiceName: health}
		}
		all = append(all, policy.Layer{Level: policy.LevelServiceConfig, Service: given})
	}
	all = append(all, p.own...)
	sortLayers(all)
	return all
}

func sortLayers(layers []policy.Layer) {
	slices.SortStableFunc(layers, func(a, b policy.Layer) int { return int(a.Level) - int(b.Level) })
}

// disagreements reports where the client, which came last, wants another channel than those before it. What the channel's
// own options say is not asked about, nor what overrides do: they must not keep a program from starting, and
// [Channel.unheeded] reports them. started tells that connections may have been made.
func (p sharedPolicy) disagreements(c *Client, started bool) error {
	last := len(p.brought) - 1
	wanted, wantedFrom := policy.Stack(p.brought[last].written().layers).Service()
	var before sharedPolicy
	for _, b := range p.brought[:last] {
		before.brought = append(before.brought, b.written())
	}
	have, haveFrom := before.stack(noConfig).Service()
	own, ownFrom := policy.Stack(p.own).Service()
	had := values(have)

	var errs []error
	differ := func(path, want, have string, wantFrom, haveFrom policy.Origin) {
		errs = append(errs, fmt.Errorf("%s: %s wants %s (%v) and the channel has %s (%v); write the same in both, set it in NewChannel, or give the client a channel of its own",
			path, c.desc.Name, want, wantFrom, have, haveFrom))
	}
	for path, v := range policy.Fields(wanted) {
		if _, decided := ownFrom[path]; decided || v == nil {
			if path == "target" && wantedFrom[path].Level == policy.LevelEnvironment && *own.Target != v {
				differ(path, policy.FormatValue(v), policy.FormatValue(*own.Target), wantedFrom[path], ownFrom[path])
			}
			continue
		}
		_, start := policy.ScopeOf(path)
		before, taken := had[path]
		switch want := policy.FormatValue(v); {
		case taken && policy.FormatValue(before) != want:
			differ(path, want, policy.FormatValue(before), wantedFrom[path], haveFrom[path])
		case start && started && !taken:
			errs = append(errs, fmt.Errorf("%s: %s wants %s (%v) and the channel has started without it; set it in NewChannel",
				path, c.desc.Name, want, wantedFrom[path]))
		}
	}
	want, has := wanted.LoadBalancing.Arm(), have.LoadBalancing.Arm()
	if want != "" && has != "" && want != has && own.LoadBalancing.Arm() == "" {
		differ("load_balancing", want, has, wantedFrom["load_balancing."+want], haveFrom["load_balancing."+has])
	}
	return errors.Join(errs...)
}

// noConfig is the service config that says nothing.
var noConfig = new(discovery.ServiceConfig)
