package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const minTTL = time.Second

// Register puts e into etcd as one of service, and keeps it there until Close of the [Registration]: on a lease that is kept
// alive three times per ttl, and on a new one whenever that was lost, whether by a partition that lasted longer than ttl,
// by revocation, or with all of etcd. A key that somebody deletes is put again. So a server that stops in its tracks is
// gone after ttl, and is there again when it goes on.
//
// Register returns once the endpoint is there; until then it tries again for ever, after pauses of 0.1 s that grow to 5 s.
// If ctx ends first, it returns an error that says why it took so long, and nothing stays behind. The end of ctx means
// nothing later. See [WithoutWait] to go on without etcd.
//
// ttl is at least a second, and rounded up to whole ones; etcd raises it to one and a half times its election timeout. Ten
// seconds is a fair choice: a shorter one finds dead servers sooner, and asks more of etcd.
//
// A mistake in the arguments is a [*discovery.ConfigError].
func Register(
	ctx context.Context, client *clientv3.Client, service string, e discovery.Endpoint, ttl time.Duration, opts ...Option,
) (*Registration, error) {
	s := newSettings(opts)
	e, err := checkedRegistration(service, e, ttl)
	if err != nil {
		return nil, err
	}
	value, err := encodeEndpoint(e)
	if err != nil {
		return nil, err
	}
	r := &Registration{
		backend: newBackend(client, s),
		key:     serviceKey(s.prefix, service) + e.Addresses[0],
		value:   value,
		ttl:     int64(math.Ceil(ttl.Seconds())),
		first:   make(chan struct{}),
		done:    make(chan struct{}),
		err:     errNotYet,
	}
	r.log = s.logger.With(slog.String("key", r.key))
	holding, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.run(holding)
	if !s.wait {
		return r, nil
	}
	select {
	case <-r.first:
		return r, nil
	case <-ctx.Done():
		cause := r.Err()
		if cause == nil {
			return r, nil // it has just happened
		}
		_ = r.Close() // there may be nothing to remove; the cause is worth more
		return nil, fmt.Errorf("etcd: %q was not registered in time: %w; before that: %w", r.key, ctx.Err(), cause)
	}
}

// checkedRegistration reports all mistakes together.
func checkedRegistration(service string, e discovery.Endpoint, ttl time.Duration) (discovery.Endpoint, error) {
	problems := serviceProblems(service)
	if ttl < minTTL {
		problems = append(problems, discovery.Problem{Value: ttl.String(),
			Text: "is too short for a lease; write 1s or more, e.g. 10*time.Second"})
	}
	if strings.TrimSpace(e.ID()) == "" {
		problems = append(problems, discovery.Problem{Text: "the endpoint has no address; write the host:port of this server"})
	} else if checked, err := checkedEndpoint(e); err != nil {
		problems = append(problems, problemsOf(err)...)
	} else {
		e = checked
	}
	if len(problems) > 0 {
		return discovery.Endpoint{}, &discovery.ConfigError{Problems: problems}
	}
	return e, nil
}

// problemsOf leaves out columns, which are those of a list that the caller did not write.
func problemsOf(err error) (problems []discovery.Problem) {
	c, ok := err.(*discovery.ConfigError)
	if !ok {
		return []discovery.Problem{{Text: err.Error()}}
	}
	for _, p := range c.Problems {
		p.Column = 0
		problems = append(problems, p)
	}
	return problems
}

// Registration is an endpoint that is kept in etcd. All methods may be called by many goroutines at once.
type Registration struct {
	backend *backend
	log     *slog.Logger
	key     string
	value   []byte
	ttl     int64 // in seconds
	cancel  context.CancelFunc
	first   chan struct{} // closed by run when the endpoint is there for the first time
	done    chan struct{} // closed by run at its end

	mu  sync.Mutex // guards err
	err error
}

// Key is where the endpoint is, e.g., "inventory/10.0.0.7:443".
func (r *Registration) Key() string { return r.key }

// Err returns nil while the endpoint is known to be in etcd and its lease to be alive, and otherwise why not. The lease may
// live on for some time while Err is not nil, and the registration tries all the time to make it nil. After Close it is
// what Close returned, or that the registration is closed.
func (r *Registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Done is closed once the registration has ended, which only Close brings about.
func (r *Registration) Done() <-chan struct{} { return r.done }

// Close removes the endpoint from etcd, and waits for that: not longer than the timeout of [WithTimeout]. The error is
// why that could not be done; the endpoint then stays until its lease ends, after ttl. It may be called more than once.
func (r *Registration) Close() error {
	r.cancel()
	<-r.done
	if err := r.Err(); err != errClosed {
		return err
	}
	return nil
}

// set notes the state, and logs where it turns good or bad.
func (r *Registration) set(err error) {
	r.mu.Lock()
	before := r.err
	r.err = err
	r.mu.Unlock()
	switch {
	case err == nil && before != nil:
		r.log.Info("etcd: the endpoint is registered")
	case err != nil && (before == nil || before == errNotYet):
		r.log.Warn("etcd: the endpoint is not registered, or may not stay so; trying again", slog.Any("error", err))
	}
}
