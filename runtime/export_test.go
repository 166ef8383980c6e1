package goresilient

import (
	"context"

	"github.com/goresilient/goresilient/runtime/internal/limit"
)

// WithHosts replaces the system's resolver.
func WithHosts(resolve func(ctx context.Context, host string) ([]string, error)) Option {
	return optionFunc(func(s *Settings) { s.resolveHost = resolve })
}

// Contributions returns how many policies of clients the channel keeps.
func Contributions(ch *Channel) int {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.shared.brought)
}

// PermitsHeld returns how many permits of the client's concurrency limits are held or waited for.
func PermitsHeld(c *Client) (n int) {
	plans := []*plan{c.unaryDefault.plan.Load(), c.streamDefault.plan.Load()}
	for _, m := range c.methods {
		plans = append(plans, m.plan.Load())
	}
	seen := make(map[*limit.Limiter]bool)
	for _, p := range plans {
		for _, s := range []scope{p.guards.own, p.guards.service} {
			if s.limit != nil && !seen[s.limit] {
				seen[s.limit] = true
				counts := s.limit.Counts()
				n += counts.InFlight + counts.Queued
			}
		}
	}
	return n
}
