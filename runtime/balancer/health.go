package balancer

import (
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	_ "google.golang.org/grpc/health" // carries out what RegisterHealthListener asks for
)

// watch has grpc check the health of a connection that has just become READY, or whose health service has changed.
// Without Channel.mu: grpc holds a lock of its own while it reports.
func (p *pool) watch(e *endpoint, sc balancer.SubConn, check uint32) {
	sc.RegisterHealthListener(func(s balancer.SubConnState) { p.health(e, check, s) })
}

// health takes what a health check says of a connection that is READY.
func (p *pool) health(e *endpoint, check uint32, s balancer.SubConnState) {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed || e.check != check {
		return
	}
	switch s.ConnectivityState {
	case connectivity.Ready:
		e.renewed = false
		p.set(e, connectivity.Ready)
	case connectivity.Connecting:
		if !e.renewed && !e.is(connectivity.TransientFailure) {
			p.set(e, connectivity.Connecting)
		}
	case connectivity.TransientFailure:
		e.renewed = false
		err := s.ConnectionError
		if err == nil {
			err = errUnexplained
		}
		e.failed(e.ID(), fmt.Errorf("health check of service %q: %w", *p.cfg.HealthService, err))
		p.fail(e)
	}
}

// followHealth renews the health listeners where another service is to be asked, or none. An endpoint that is READY stays
// so until the new listener decides. calls must be held.
func (p *pool) followHealth(before Config) {
	if sameHealth(before, p.cfg) {
		return
	}
	for _, e := range p.list {
		if !e.up {
			continue
		}
		e.check++
		sc, check := e.sc, e.check
		if p.cfg.HealthService == nil {
			e.renewed = false
			p.set(e, connectivity.Ready)
			p.in.calls.later(func() { sc.RegisterHealthListener(nil) })
			continue
		}
		e.renewed = e.is(connectivity.Ready)
		p.in.calls.later(func() { p.watch(e, sc, check) })
	}
}

// sameHealth tells whether a and b check the same service, or none.
func sameHealth(a, b Config) bool {
	if a.HealthService == nil || b.HealthService == nil {
		return a.HealthService == b.HealthService
	}
	return *a.HealthService == *b.HealthService
}
