package goresilient_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

var (
	chaosSeeds = flag.Int("chaos.seeds", 1000, "how many seeds TestChaos runs")
	chaosFrom  = flag.Uint64("chaos.from", 1, "its first seed; with -chaos.seeds=1, the one to replay")
)

// TestChaos has callers call through a client under a policy drawn at random, while servers and the network between fail in
// every way that they know, in virtual time. Whatever happens, the promises of the policy hold. A failure names its seed:
//
//	go test ./runtime -run TestChaos -chaos.seeds=1 -chaos.from=SEED
func TestChaos(t *testing.T) {
	seeds := *chaosSeeds
	if testing.Short() {
		seeds = min(seeds, 200)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the runs are short and share nothing
	var sum chaosTally
	for seed := *chaosFrom; seed < *chaosFrom+uint64(seeds) && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { newChaosRun(t, seed).run(&sum) })
	}
	t.Logf("%+v", sum)
	if seeds >= 200 && (sum.Failed == 0 || sum.Answered == 0 || sum.Retries == 0 || sum.Hedges == 0 || sum.Refused == 0 || sum.Cancelled == 0 || sum.Late == 0) {
		t.Errorf("the chaos has grown tame: %+v", sum)
	}
}

// chaosRun is one seed.
type chaosRun struct {
	t       *testing.T
	seed    uint64
	policy  *chaosPolicy
	network *chaosNetwork
	servers []*chaosServer
	log     *serverLog
	client  *testClient
	closing bool // the client is closed while calls run
	aging   bool // servers end connections by age

	mu       sync.Mutex
	attempts map[string]int // that went out, by call
	tally    chaosTally
}

const (
	chaosHosts   = 3
	chaosCallers = 4
	chaosCalls   = 6 // of each caller
)

func newChaosRun(t *testing.T, seed uint64) *chaosRun {
	r := rand.New(rand.NewPCG(seed, 0))
	run := &chaosRun{t: t, seed: seed, policy: drawPolicy(r), attempts: make(map[string]int), log: &serverLog{calls: make(map[string]int)}}
	run.closing = odds(r, 8)
	services, addrs := make(map[string]grpc_testing.TestServiceServer), []string{}
	for i := range chaosHosts {
		s := &chaosServer{addr: fmt.Sprintf("10.0.0.%d:1", i), seed: seed, log: run.log}
		s.mood.Store(int32(r.IntN(int(moods))))
		run.servers = append(run.servers, s)
		addrs = append(addrs, s.addr)
		services[s.addr] = s
	}
	var options []grpc.ServerOption
	if run.aging = odds(r, 3); run.aging {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: between(r, 200*ms, 3*time.Second), MaxConnectionAgeGrace: between(r, ms, time.Second)}))
	}
	run.network = newChaosNetwork(services, addrs, options...)
	run.client = run.newClient(r, addrs)
	return run
}

// chaosService is the test service with RPCs that may be repeated.
var chaosService = func() *goresilient.ServiceDesc {
	s := testService
	s.Methods = append([]goresilient.MethodDesc(nil), testService.Methods...)
	for i := range s.Methods {
		s.Methods[i].Idempotency = policy.NoSideEffects
	}
	return &s
}()

func (run *chaosRun) newClient(r *rand.Rand, addrs []string) *testClient {
	target := "static:///" + addrs[0] + "," + addrs[1] + "," + addrs[2]
	opts := all{goresilient.WithoutEnvironment(), goresilient.WithTarget(target), goresilient.WithInsecure(), run.network.dialer(),
		goresilient.WithPolicy(run.policy.service), goresilient.WithObserver(run)}
	if odds(r, 2) {
		opts = append(opts, goresilient.WithDialOptions(grpc.WithUnaryInterceptor(run.nameAttempt)))
	} else {
		opts = append(opts, goresilient.WithAttemptInterceptor(run.nameAttempt))
	}
	if odds(r, 4) {
		opts = append(opts, goresilient.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return next(ctx, method, in, out, cc, opts...)
		}))
	}
	overrides := goresilient.NewOverrides()
	if odds(r, 3) {
		opts = append(opts, goresilient.WithOverrides(overrides))
		for range 2 {
			doc := run.policy.drawOverride(r)
			time.AfterFunc(between(r, 0, 3*time.Second), func() {
				if err := overrides.Set("chaos", doc); err != nil {
					run.errorf("override: %v\n%s", err, doc)
				}
			})
		}
	}
	client, err := goresilient.NewClient(chaosService, opts)
	if err != nil {
		run.t.Fatalf("seed %d: %v", run.seed, err)
	}
	return &testClient{
		Client:    client,
		stub:      grpc_testing.NewTestServiceClient(goresilient.StubConn(client)),
		unaryCall: goresilient.NewUnaryMethod[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse](client, "UnaryCall"),
	}
}

func (run *chaosRun) errorf(format string, args ...any) {
	run.t.Helper()
	run.t.Errorf("seed %d: "+format, append([]any{run.seed}, args...)...)
}

// nameAttempt gives each attempt a name that its server sees.
func (run *chaosRun) nameAttempt(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	id := string(in.(*grpc_testing.SimpleRequest).GetPayload().GetBody())
	run.mu.Lock()
	run.attempts[id]++
	name := fmt.Sprintf("%s#%d", id, run.attempts[id])
	run.mu.Unlock()
	return next(metadata.AppendToOutgoingContext(ctx, chaosAttemptKey, name), method, in, out, cc, opts...)
}

// Observe implements [goresilient.Observer].
func (run *chaosRun) Observe(_ context.Context, e goresilient.Event) {
	run.mu.Lock()
	defer run.mu.Unlock()
	switch e := e.(type) {
	case *goresilient.AttemptEvent:
		if e.Attempt.Hedge {
			run.tally.Hedges++
		} else if e.Attempt.Number > 1 {
			run.tally.Retries++
		}
	case *goresilient.RefusalEvent:
		if !e.Observed && !run.policy.mayRefuse[e.Refusal.Guard] {
			run.errorf("a guard refuses that policy does not ask for: %v", e.Refusal)
		}
	}
}

// run runs the seed and looks at what is left.
func (run *chaosRun) run(sum *chaosTally) {
	began := time.Now()
	stop := make(chan struct{})
	var chaos, callers sync.WaitGroup
	chaos.Go(func() { run.rage(rand.New(rand.NewPCG(run.seed, 1)), stop) })
	for i := range chaosCallers {
		r := rand.New(rand.NewPCG(run.seed, uint64(2+i)))
		callers.Go(func() {
			for n := range chaosCalls {
				time.Sleep(between(r, 0, 300*ms))
				run.call(r, fmt.Sprintf("%d.%d", i, n))
			}
		})
	}
	if run.closing {
		time.Sleep(500 * ms)
		ctx, cancel := context.WithTimeout(context.Background(), 100*ms)
		_ = run.client.Shutdown(ctx)
		cancel()
	}
	callers.Wait()
	run.checkBudgets(time.Since(began))
	close(stop)
	chaos.Wait()
	run.checkAttempts()
	if !run.closing {
		run.recover()
	}
	run.checkNothingRuns()
	if err := run.client.Close(); err != nil {
		run.errorf("Close: %v", err)
	}
	run.network.stop()
	if n := run.log.running; n != 0 {
		run.errorf("%d handlers run", n)
	}
	sum.add(run.tally)
}

// rage has servers and the network fail until stop.
func (run *chaosRun) rage(r *rand.Rand, stop <-chan struct{}) {
	for {
		timer := time.NewTimer(between(r, 5*ms, 300*ms))
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return
		}
		i := r.IntN(chaosHosts)
		h := run.network.hosts[i]
		switch r.IntN(8) {
		case 0:
			h.kill()
		case 1:
			h.leave(between(r, 0, 500*ms))
		case 2, 3:
			h.start()
		case 4:
			h.reset()
		case 5:
			h.vanish()
		case 6:
			h.setReach(reach(r.IntN(int(reaches))))
		case 7:
			run.servers[i].mood.Store(r.Int32N(int32(moods)))
		}
	}
}

// call makes one call, or stream, and checks how it ends.
func (run *chaosRun) call(r *rand.Rand, id string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var opts []grpc.CallOption
	limit, total := time.Duration(0), run.policy.total
	switch r.IntN(5) {
	case 0, 1:
		limit = between(r, 10*ms, 1500*ms)
	case 2:
		total = between(r, 10*ms, 1500*ms)
		opts = append(opts, goresilient.CallTimeout(total))
	case 3:
		opts = append(opts, goresilient.CallTimeout(0))
		limit, total = 2*time.Second, 0
	}
	if total > 0 && (limit == 0 || total < limit) {
		limit = total
	} else if limit == 0 {
		limit = 3 * time.Second
	}
	if limit != total {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	cancelled := false
	if odds(r, 6) {
		giveUp, stop := context.WithCancel(ctx)
		ctx, cancelled = giveUp, true
		defer stop()
		limit = between(r, 0, limit)
		timer := time.AfterFunc(limit, stop)
		defer timer.Stop()
	}
	most := run.policy.attempts
	if odds(r, 8) {
		opts, most = append(opts, goresilient.NoRetry()), 1
	}
	if odds(r, 4) {
		opts = append(opts, goresilient.HashKey(id))
	}
	began, streams := time.Now(), odds(r, 5) && !run.closing
	var err error
	// grpc holds a lock of the stream while it waits for the next try, for which Close waits: virtual time would stand still.
	if streams {
		err = run.stream(ctx, r, id, opts)
	} else {
		err = run.unary(ctx, r, id, opts, most)
	}
	run.judge(id, err, time.Since(began), limit, cancelled)
	run.checkError(id, err, streams)
}

// unary makes a unary call.
func (run *chaosRun) unary(ctx context.Context, r *rand.Rand, id string, opts []grpc.CallOption, most int) error {
	var header, trailer metadata.MD
	var from peer.Peer
	finished := 0
	targets := odds(r, 2)
	if targets {
		opts = append(opts, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from))
	}
	opts = append(opts, grpc.OnFinish(func(error) { finished++ }))
	in := &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: []byte(id)}}
	var out *grpc_testing.SimpleResponse
	var err error
	if odds(r, 2) {
		out, err = run.client.unaryCall.Call(ctx, in, opts...)
	} else {
		out, err = run.client.stub.UnaryCall(ctx, in, opts...)
	}
	if finished != 1 {
		run.errorf("call %s: OnFinish ran %d times; %v", id, finished, err)
	}
	if err == nil && string(out.GetPayload().GetBody()) != id {
		run.errorf("call %s has the reply %v", id, out)
	}
	for name, md := range map[string]metadata.MD{"header": header, "trailer": trailer} {
		if got := md.Get("id"); len(got) > 0 && got[0] != id || targets && err == nil && len(got) != 1 {
			run.errorf("call %s has the %s %v", id, name, md)
		}
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if n := run.attempts[id]; n > most {
		run.errorf("call %s made %d attempts, of %d", id, n, most)
	}
	return err
}

// stream sends a few messages, each answered by itself, and ends the stream in one of the ways there are.
func (run *chaosRun) stream(ctx context.Context, r *rand.Rand, id string, opts []grpc.CallOption) error {
	run.mu.Lock()
	run.tally.Streams++
	run.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whatever else, the caller leaves
	s, err := run.client.stub.FullDuplexCall(ctx, opts...)
	if err != nil {
		return err
	}
	for n := range 1 + r.IntN(3) {
		body := fmt.Sprintf("%s/%d", id, n)
		if err := s.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(body)}}); err != nil && err != io.EOF {
			return err
		}
		out, err := s.Recv()
		if err != nil {
			return err
		}
		if got := string(out.GetPayload().GetBody()); got != body {
			run.errorf("stream %s has the reply %q", body, got)
		}
	}
	if odds(r, 3) {
		return nil
	}
	_ = s.CloseSend()
	if _, err := s.Recv(); err != io.EOF {
		return err
	}
	return nil
}
