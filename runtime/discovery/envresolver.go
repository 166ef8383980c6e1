package discovery

import (
	"context"
	"sync"

	"google.golang.org/grpc/resolver"
)

// envResolver follows one variable. Its goroutine reads the variable, builds and closes what it follows, and owns the
// fields below done. mu serializes all that reaches cc, from this goroutine and from a resolver that is followed;
// nothing of a followed resolver is called with mu held.
type envResolver struct {
	builder  *envBuilder
	variable variable
	cc       resolver.ClientConn
	opts     resolver.BuildOptions
	cancel   context.CancelFunc
	again    chan struct{} // holds one request to read again
	done     chan struct{}

	current  string // text in use; "" before the first
	reported string // the last error, until it is over
	failures int    // of building, in a row
	revision int64
	view     view // of the list, while one is in use
	followed resolver.Resolver
	conn     *followedConn // of followed; both nil while a list is in use

	mu sync.Mutex
}

func startEnv(b *envBuilder, v variable, cc resolver.ClientConn, opts resolver.BuildOptions) *envResolver {
	ctx, cancel := context.WithCancel(context.Background())
	r := &envResolver{
		builder: b, variable: v, cc: cc, opts: opts,
		cancel: cancel, again: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.view.serverNames = !credentialsNameServer(opts)
	go r.run(ctx)
	return r
}

// ResolveNow implements [resolver.Resolver]: the variable is read again.
func (r *envResolver) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

// Close implements [resolver.Resolver]. It returns once the resolver that was followed is closed too.
func (r *envResolver) Close() {
	r.cancel()
	<-r.done
}

func (r *envResolver) run(ctx context.Context) {
	defer close(r.done)
	defer func() { r.unfollow() }()
	for {
		if r.read(); r.failures > 0 {
			if !r.pause(ctx) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.again:
		}
	}
}

// pause waits before another try. It reports false when ctx ended. As long as nothing is in use a request to resolve again
// cuts it short; later, such requests come with each failing connection.
func (r *envResolver) pause(ctx context.Context) bool {
	if r.current != "" {
		return r.builder.pacing.pause(ctx, r.failures)
	}
	wait, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-r.again:
			cancel()
		case <-wait.Done():
		}
	})
	r.builder.pacing.pause(wait, r.failures)
	cancel()
	watching.Wait()
	return ctx.Err() == nil
}

// read brings the channel to what the variable says now. What is in use stays so where that cannot be used.
func (r *envResolver) read() {
	d, err := r.builder.read(r.variable)
	if err == nil && d.text != r.current {
		err = r.use(d)
	} else if r.followed != nil {
		r.followed.ResolveNow(resolver.ResolveNowOptions{})
	}
	// A builder may fail for a while. A mistake stays until somebody corrects it and grpc asks again, which it does not
	// before there has been anything to connect to.
	if err != nil && (r.current == "" || !IsPermanent(err)) {
		r.failures++
	} else {
		r.failures = 0
	}
	r.tell(err)
}

// use switches to d.
func (r *envResolver) use(d destination) error {
	if d.builder != nil {
		if err := r.follow(d); err != nil {
			return err
		}
		r.current = d.text
		return nil
	}
	switched := r.unfollow()
	r.current = d.text
	r.revision++
	if r.view.apply(snapshot(r.revision, d.endpoints)) || switched {
		r.push()
	}
	return nil
}

// tell reports err once for as long as it lasts, and says of a list in use whether it is still what the variable
// says.
func (r *envResolver) tell(err error) {
	if r.conn == nil && r.view.loaded && r.view.setStale(err) {
		r.push()
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.reported {
		r.mu.Lock()
		r.cc.ReportError(err)
		r.mu.Unlock()
	}
	r.reported = text
}

// push reports the list. A channel that refuses it would refuse it again, so its answer does not matter.
func (r *envResolver) push() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.cc.UpdateState(r.view.state())
}

// follow builds the resolver of d and, if that succeeds, closes the one before.
func (r *envResolver) follow(d destination) error {
	conn := &followedConn{ClientConn: r.cc, mu: &r.mu}
	if name := authorityOf(d.builder, d.target); name != r.opts.Authority && !credentialsNameServer(r.opts) {
		conn.serverName = name
	}
	followed, err := d.builder.Build(d.target.Target, conn, r.opts)
	if err != nil {
		conn.close()
		return err
	}
	r.unfollow()
	r.followed, r.conn = followed, conn
	if err := conn.open(); err != nil {
		followed.ResolveNow(resolver.ResolveNowOptions{})
	}
	return nil
}

// unfollow closes the resolver that is followed and reports whether there was one. Nothing of it reaches the channel
// afterwards.
func (r *envResolver) unfollow() bool {
	if r.followed == nil {
		return false
	}
	r.conn.close()
	r.followed.Close()
	r.followed, r.conn = nil, nil
	return true
}
