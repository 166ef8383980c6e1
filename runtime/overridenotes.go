package goresilient

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goresilient/goresilient/runtime/policy"
)

// unheeded reports what the override in force says of the client's channel and that cannot, or must not, be done: on a
// connection of somebody else's, where a field is fixed at start, and where another client's override disagrees.
func (c *Client) unheeded() policy.Problems {
	c.mu.Lock()
	override := policy.Stack(slices.Clone(c.override))
	c.mu.Unlock()
	wanted, origins := override.Service()
	if c.channel == nil {
		return foreign(wanted, origins)
	}
	return c.channel.unheeded(c, wanted, origins)
}

// foreign reports, once for each part, what belongs to a channel.
func foreign(wanted *policy.Service, origins policy.Origins) policy.Problems {
	var notes policy.Problems
	told := make(map[string]bool)
	for path := range policy.Fields(wanted) {
		part, _, _ := strings.Cut(path, ".")
		o, written := origins[path]
		if !isChannels(path) || told[part] || !written {
			continue
		}
		told[part] = true
		notes = append(notes, policy.Problem{Source: o.Source, Line: o.Line, Path: part,
			Text: "cannot change the connection that WithConn gives; set it where the connection is made"})
	}
	return notes
}

// unheeded is [Client.unheeded] for a client of the channel.
func (ch *Channel) unheeded(c *Client, wanted *policy.Service, origins policy.Origins) policy.Problems {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	have := values(ch.policy)
	var notes policy.Problems
	for path, v := range policy.Fields(wanted) {
		if _, start := policy.ScopeOf(path); !start || !isChannels(path) || v == nil || ch.origins[path].Level > policy.LevelOverride {
			continue
		}
		if before, set := have[path]; !set || policy.FormatValue(before) != policy.FormatValue(v) {
			notes = append(notes, waits(path, v, origins[path]))
		}
	}
	place := func(o *Client) int {
		return slices.IndexFunc(ch.shared.brought, func(b contribution) bool { return b.owner == o })
	}
	for i, b := range ch.shared.brought {
		if b.owner == nil || b.owner == c {
			continue
		}
		last := c
		if i > place(c) {
			if last = b.owner; last.overrides == c.overrides {
				continue // it reports the same
			}
		}
		notes = append(notes, disagreeing(c, wanted, origins, b, last)...)
	}
	return notes
}

// disagreeing reports where the overrides of two clients of one channel differ about it. The one that was made last wins.
func disagreeing(c *Client, wanted *policy.Service, origins policy.Origins, other contribution, last *Client) policy.Problems {
	others, othersFrom := policy.Stack(other.override()).Service()
	var notes policy.Problems
	differ := func(path, want, have string, from, othersFrom policy.Origin) {
		notes = append(notes, policy.Problem{Source: from.Source, Line: from.Line, Path: path, Text: fmt.Sprintf(
			"%s wants %s, and %s, which has the same channel, wants %s (%v); %s wins, whose client was made last: write the same for both, or give each a channel of its own",
			c.desc.Name, want, other.owner.desc.Name, have, othersFrom, last.desc.Name)})
	}
	arm, othersArm := wanted.LoadBalancing.Arm(), others.LoadBalancing.Arm()
	if arm != "" && othersArm != "" && arm != othersArm {
		differ("load_balancing", arm, othersArm, origins["load_balancing."+arm], othersFrom["load_balancing."+othersArm])
	}
	theirs := values(others)
	for path, v := range policy.Fields(wanted) {
		if _, start := policy.ScopeOf(path); start || !isChannels(path) || v == nil {
			continue
		}
		if have, set := theirs[path]; set && policy.FormatValue(have) != policy.FormatValue(v) {
			differ(path, policy.FormatValue(v), policy.FormatValue(have), origins[path], othersFrom[path])
		}
	}
	return notes
}

// waits is the note about a field that is fixed at start.
func waits(path string, v any, o policy.Origin) policy.Problem {
	return policy.Problem{Source: o.Source, Line: o.Line, Path: path,
		Text: fmt.Sprintf("%s is fixed when a client is made; it waits for the next start", policy.FormatValue(v))}
}

// values returns the fields that are set in s, by path.
func values(s *policy.Service) map[string]any {
	all := make(map[string]any)
	for path, v := range policy.Fields(s) {
		all[path] = v
	}
	return all
}
