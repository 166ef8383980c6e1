package hedge_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpcbalancer "google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/bench/internal/fake"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/policy"
)

// virtual is where attempts end in virtual time, without a network: the balancer picks a server for each, as grpc would have it
// do, and the attempt ends when the server's work is done or its context ends. The balancer finds the attempt's record in
// that context: a hedge goes to a server that the call has not tried, and a call to the server that its key belongs to.
type virtual struct {
	conn    *fake.Conn
	servers servers
	seed    uint64
	start   time.Time
	reached []atomic.Int64 // attempts by server
	numbers map[string]int // of the servers, by name
}

// newVirtual returns a connection to servers that are all READY, in the bubble that it is called in.
func newVirtual(t *testing.T, s servers, lb *policy.LoadBalancing, seed uint64) *virtual {
	p := policy.Complete(&policy.Service{LoadBalancing: lb})
	draw := &locked{source: rand.NewPCG(seed, 0)}
	channel := balancer.NewChannel(balancer.Config{LoadBalancing: p.LoadBalancing}, balancer.Options{Rand: draw.Uint64, AnyRecords: true})
	channel.Record(true) // of the attempts: where a call has been, and its key
	v := &virtual{conn: new(fake.Conn), servers: s, seed: seed, reached: make([]atomic.Int64, s.count), numbers: make(map[string]int)}
	b := grpcbalancer.Get(balancer.Name).Build(v.conn, grpcbalancer.BuildOptions{})
	t.Cleanup(b.Close)
	for i, name := range s.names() {
		v.numbers[name] = i
	}
	state := fake.State(s.names())
	state.Attributes = channel.Attach(state.Attributes)
	if err := b.UpdateClientConnState(grpcbalancer.ClientConnState{ResolverState: state}); err != nil {
		t.Fatal(err)
	}
	for _, sc := range v.conn.Live() {
		sc.Connects()
	}
	time.Sleep(time.Second) // until the last picker is published
	v.start = time.Now()
	return v
}

// options are those of a client whose attempts end in v. It has a connection of its own, over which attempts have records, and
// which never comes about.
func (v *virtual) options(lb *policy.LoadBalancing) []goresilient.Option {
	nowhere := func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []goresilient.Option{
		goresilient.WithPolicy(&policy.Service{LoadBalancing: lb}), goresilient.WithTarget("static:///nowhere:1"),
		goresilient.WithInsecure(), goresilient.WithDialer(nowhere), goresilient.WithAttemptInterceptor(v.attempt),
	}
}

// attempt is a [grpc.UnaryClientInterceptor] in the place of the connection.
func (v *virtual) attempt(ctx context.Context, method string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	picked, err := v.conn.Picker().Pick(grpcbalancer.PickInfo{FullMethodName: method, Ctx: ctx})
	if err != nil {
		return err
	}
	server, ok := v.numbers[picked.SubConn.(*fake.SubConn).Addr]
	if !ok {
		return status.Errorf(codes.Internal, "the balancer picked %v, which is no server", picked.SubConn)
	}
	v.reached[server].Add(1)
	c := callOf(ctx)
	took := v.servers.work(server, time.Since(v.start), c.draw(v.seed))
	c.first.CompareAndSwap(0, int64(took))
	work := time.NewTimer(took)
	defer work.Stop()
	select {
	case <-work.C:
	case <-ctx.Done():
		err = status.FromContextError(ctx.Err()).Err()
	}
	if picked.Done != nil {
		picked.Done(grpcbalancer.DoneInfo{Err: err, BytesSent: true, BytesReceived: err == nil})
	}
	return err
}

// share returns which part of all attempts went to the first n servers.
func (v *virtual) share(n int) float64 {
	part, all := int64(0), int64(0)
	for i := range v.reached {
		attempts := v.reached[i].Load()
		all += attempts
		if i < n {
			part += attempts
		}
	}
	return float64(part) / float64(all)
}

// locked is a source of random numbers for several goroutines.
type locked struct {
	mu     sync.Mutex
	source rand.Source
}

// Uint64 implements [rand.Source].
func (l *locked) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Uint64()
}
