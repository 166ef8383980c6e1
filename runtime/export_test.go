package goresilient

import "context"

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
