package discovery

import (
	"context"
	"errors"
	"time"
)

// Register puts e under its own ID for as long as the caller lives: until ctx ends, deregister is called, or the registry
// is closed. It hangs on a lease of ttl that is kept alive three times as often, so a process that is stopped in its
// tracks is gone after ttl, and is there again when it goes on. deregister returns once the endpoint is removed; it may
// be called more than once. What somebody else has put under the same ID since is left alone.
func (r *Registry) Register(
	ctx context.Context, service string, e Endpoint, ttl time.Duration,
) (deregister func(), err error) {
	reg := registration{registry: r, service: service, endpoint: e, ttl: ttl}
	if err := reg.put(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		reg.keepAlive(ctx)
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

type registration struct {
	registry *Registry
	service  string
	endpoint Endpoint
	ttl      time.Duration
	lease    LeaseID
}

func (g *registration) put() error {
	lease, err := g.registry.Grant(g.ttl)
	if err != nil {
		return err
	}
	if _, err = g.registry.Put(g.service, g.endpoint.ID(), g.endpoint, WithLease(lease)); err != nil {
		_ = g.registry.Revoke(lease) // the first error counts
		return err
	}
	g.lease = lease
	return nil
}

func (g *registration) keepAlive(ctx context.Context) {
	tick := time.NewTicker(max(g.ttl/3, 1))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = g.registry.Revoke(g.lease) // already gone is as good
			return
		case <-g.registry.done:
			return
		case <-tick.C:
		}
		err := g.registry.KeepAlive(g.lease)
		if errors.Is(err, ErrLeaseNotFound) {
			// It was checked once, so only the end of the registry can refuse it now.
			_ = g.put()
		}
	}
}
