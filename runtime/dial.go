package goresilient

import (
	"context"
	"math"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// noTimeout leaves a wait to the context alone.
const noTimeout time.Duration = 0

// waitReady connects and waits as dial, which is complete, says.
// It also ends when closed does.
func (ch *Channel) waitReady(ctx context.Context, closed <-chan struct{}, dial *policy.Dial) error {
	cc, err := ch.use()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *dial.Timeout > noTimeout {
		ctx, cancel = context.WithTimeout(ctx, *dial.Timeout)
		defer cancel()
	}
	var hosts <-chan error // what the system says of a DNS name that gave nothing; nil until it is asked
	awake := ch.keepAwake(cc)
	defer awake.stop()
	for {
		// Asked for before the state is read: no change falls between.
		balanced := ch.state.Changed()
		found, discovered := ch.reports.watch()
		status := ch.state.Status()
		if cc.GetState() == connectivity.Idle { // a policy that connects when it is called, or after a GOAWAY
			cc.Connect()
		}
		if ready(cc, status, *dial.MinReady) {
			return nil
		}
		if *dial.FailOnPermanentError && ch.failedForGood(status, found, *dial.RefusedIsPermanent) {
			return ch.dialError(ErrPermanent, *dial.MinReady)
		}
		if hosts == nil && found.seen && status.Updated && status.Total == 0 {
			hosts = ch.askForHost(ctx)
		}
		select {
		case err := <-hosts:
			ch.reports.explained(err)
			hosts = make(chan error) // asked once
			if *dial.FailOnPermanentError && isPermanent(err, false) {
				return ch.dialError(ErrPermanent, *dial.MinReady)
			}
		case <-balanced:
		case <-discovered:
		case <-awake.tick():
			awake.touch()
		case <-ch.closed:
			return ch.dialError(ErrClosed, *dial.MinReady)
		case <-closed:
			return ch.dialError(ErrClosed, *dial.MinReady)
		case <-ctx.Done():
			return ch.dialError(ctx.Err(), *dial.MinReady)
		}
	}
}

// askForHost asks the system's resolver for the hosts of DNS targets, which grpc's resolver has found nothing for: it keeps the
// reason to itself. It returns nil if there are none.
func (ch *Channel) askForHost(ctx context.Context) <-chan error {
	ch.mu.Lock()
	given := ch.targets()
	ch.mu.Unlock()
	hosts := make([]string, len(given))
	for i, target := range ch.settings.viaProxy(given) {
		t, _, err := discovery.ParseTarget(target, ch.lookup())
		if err != nil || t.URL.Scheme != "dns" || t.URL.Host != "" {
			continue
		}
		hosts[i] = t.Endpoint()
		if h, _, err := net.SplitHostPort(hosts[i]); err == nil {
			hosts[i] = h
		}
	}
	if strings.Join(hosts, "") == "" {
		return nil
	}
	answer := make(chan error, 1)
	go func() { answer <- ch.resolveHosts(ctx, given, hosts) }()
	return answer
}

// resolveHosts returns why the hosts of the given targets have no address; "" is none that is asked for.
func (ch *Channel) resolveHosts(ctx context.Context, given, hosts []string) error {
	several := &discovery.TargetsError{Others: len(given)}
	for i, host := range hosts {
		if host == "" {
			continue
		}
		if _, err := ch.settings.resolveHost(ctx, host); err != nil {
			several.Errors = append(several.Errors, &discovery.TargetError{Target: given[i], Err: err})
			several.Others--
		}
	}
	switch {
	case len(several.Errors) == 0:
		return nil
	case len(given) == 1:
		return several.Errors[0].Err
	}
	return several
}

// ready tells whether enough endpoints are. The channel's own state counts as well: what was published last decides where
// a call goes.
func ready(cc *grpc.ClientConn, status balancer.Status, wanted int) bool {
	return status.Ready >= wanted && cc.GetState() == connectivity.Ready
}

// failedForGood tells whether waiting cannot help: discovery is misconfigured, or each endpoint fails in a way that stays.
func (ch *Channel) failedForGood(status balancer.Status, found resolutions, refusedIsPermanent bool) bool {
	if !found.seen && isPermanent(found.err, refusedIsPermanent) {
		return true
	}
	// Until the state says so there may be another priority to come.
	if status.Total == 0 || status.Failed < status.Total || status.State != connectivity.TransientFailure {
		return false
	}
	for _, ep := range ch.state.Endpoints() {
		if ep.Selected && !isPermanent(ep.LastError, refusedIsPermanent) {
			return false
		}
	}
	return true
}

func (ch *Channel) dialError(err error, wanted int) error {
	return &DialError{
		Target:    ch.Target(),
		Ready:     ch.state.Status().Ready,
		Wanted:    wanted,
		Endpoints: endpointErrors(ch.state.Endpoints()),
		Resolver:  ch.reports.now().err,
		Err:       err,
	}
}

// awake keeps grpc from closing the connections of a channel without calls while somebody waits for them. grpc counts a
// call from its first moment, so one that it refuses for its metadata is enough. It reaches no server, picker or stats
// handler; stream interceptors of WithDialOptions see it, and channelz counts it.
type awake struct {
	cc     *grpc.ClientConn
	ticker *time.Ticker // nil if the channel never idles
}

func (ch *Channel) keepAwake(cc *grpc.ClientConn) *awake {
	a := &awake{cc: cc}
	if idle := *ch.started.Connection.IdleTimeout; idle > 0 && idle < math.MaxInt64 {
		// Three times in each period, so that one late tick does no harm.
		a.ticker = time.NewTicker(max(idle/3, time.Millisecond))
		a.touch()
	}
	return a
}

func (a *awake) tick() <-chan time.Time {
	if a.ticker == nil {
		return nil
	}
	return a.ticker.C
}

func (a *awake) touch() {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "Invalid Key", "")
	_, _ = a.cc.NewStream(ctx, &grpc.StreamDesc{}, "/goresilient/KeepAwake")
	a.cc.Connect()
}

func (a *awake) stop() {
	if a.ticker != nil {
		a.ticker.Stop()
	}
}
