package goresilient

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/policy"
)

// checkOverride reports what of doc the client cannot take.
func (c *Client) checkOverride(doc *policy.Document) policy.Problems {
	layers := doc.Layers(c.desc.Name, policy.LevelOverride)
	path := "services." + c.desc.Name
	var ps policy.Problems
	for _, l := range layers {
		for _, name := range slices.Sorted(maps.Keys(l.Methods)) {
			i := slices.IndexFunc(c.desc.Methods, func(m MethodDesc) bool { return m.Name == name })
			if i < 0 {
				unknown := policy.Problem{Text: fmt.Sprintf("%s has no such RPC; its RPCs are %s", c.desc.Name, c.rpcNames())}
				ps = append(ps, doc.At(path+".methods."+name, policy.Problems{unknown})...)
				continue
			}
			ps = append(ps, doc.At(path+".methods."+name, policy.CheckWritten(l.Methods[name], c.desc.Methods[i].rpc()))...)
		}
	}
	c.mu.Lock()
	stack := c.with(layers)
	c.mu.Unlock()
	merged, _ := stack.Service()
	wrong := policy.ValidateEffective(merged)
	var unusable policy.Problems
	if errors.As(balancer.ValidateConfig(c.balancerConfig(merged)), &unusable) {
		wrong = append(wrong, unusable...)
	}
	for _, d := range c.desc.Methods {
		effective, _, _ := stack.Method(d.Name, d.rpc())
		ps = append(ps, doc.At(path+".methods."+d.Name, checkMethod(effective))...)
	}
	ps = append(ps, doc.At(path+".policy", wrong)...)
	slices.SortStableFunc(ps, func(a, b policy.Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return ps
}

// balancerConfig returns how the client's channel would balance by the service policy p.
func (c *Client) balancerConfig(p *policy.Service) balancer.Config {
	cfg := balancer.Config{LoadBalancing: policy.Complete(p).LoadBalancing}
	if c.channel != nil {
		cfg.Zone = c.channel.settings.zone
	}
	return cfg
}

// follow puts doc, which was checked, or nothing, in force. It reports what is fixed when a client is made and therefore stays;
// [Client.unheeded] has the rest.
func (c *Client) follow(doc *policy.Document, version string) policy.Problems {
	var layers []policy.Layer
	if doc != nil {
		layers = doc.Layers(c.desc.Name, policy.LevelOverride)
	}
	c.mu.Lock()
	c.override, c.overrideVersion = layers, version
	after, origins := c.stack().Service()
	c.compile(c.stack())
	c.mu.Unlock()
	if c.channel != nil {
		c.channel.rebase(c, c.withOverride())
	}
	return c.fixed(after, origins)
}

// fixed reports the fields in which after differs from what the client was made with and that are fixed then.
func (c *Client) fixed(after *policy.Service, origins policy.Origins) policy.Problems {
	had := values(c.atStart)
	var notes policy.Problems
	for path, v := range policy.Fields(after) {
		_, start := policy.ScopeOf(path)
		old, written := had[path]
		if !start || v == nil || written && policy.FormatValue(old) == policy.FormatValue(v) || c.channel == nil && isChannels(path) {
			continue
		}
		notes = append(notes, waits(path, v, origins[path]))
	}
	return notes
}

// withOverride returns the layers of the client, those of the override among them.
func (c *Client) withOverride() policy.Stack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.with(c.override)
}

// with returns the layers of the client with those of an override in their place; c.mu is held.
func (c *Client) with(override []policy.Layer) policy.Stack {
	layers := append(slices.Clone(c.layers), override...)
	sortLayers(layers)
	return layers
}
