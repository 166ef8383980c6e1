package goresilient

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/balancer"
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
	if *dial.Timeout > noTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *dial.Timeout)
		defer cancel()
	}
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
		select {
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
	if status.Total == 0 || status.Failed < status.Total {
		return false
	}
	for _, ep := range ch.state.Endpoints() {
		if !isPermanent(ep.LastError, refusedIsPermanent) {
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
