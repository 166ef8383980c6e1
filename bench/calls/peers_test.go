package calls_test

import (
	"context"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafegrpc"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	kratosbreaker "github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	kratos "github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	middlewaretimeout "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"
	"github.com/sony/gobreaker/v2"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/goresilient/goresilient/bench/internal/network"
)

// timeout is the deadline that each peer sets whose stack has one.
const timeout = 400 * time.Millisecond

// peer is somebody else's way of making calls resilient. conn returns a connection that calls its way, over the dialer and
// under the last interceptor given; last may be nil.
type peer struct {
	name string
	conn func(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn
}

// intercepted is a peer that consists of interceptors, the outermost first.
func intercepted(name string, interceptors func() []grpc.UnaryClientInterceptor) peer {
	return peer{name, func(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
		opts = append([]grpc.DialOption{grpc.WithChainUnaryInterceptor(interceptors()...)}, opts...)
		return new(network.Network).Conn(tb, opts...)
	}}
}

var (
	noop = intercepted("no-op interceptor", func() []grpc.UnaryClientInterceptor {
		return []grpc.UnaryClientInterceptor{pass}
	})
	withTimeout = intercepted("context.WithTimeout", func() []grpc.UnaryClientInterceptor {
		return []grpc.UnaryClientInterceptor{middlewaretimeout.UnaryClientInterceptor(timeout)}
	})
	noDeadline   = intercepted("grpc, no deadline", func() []grpc.UnaryClientInterceptor { return nil })
	breakerAlone = intercepted("gobreaker", func() []grpc.UnaryClientInterceptor {
		return []grpc.UnaryClientInterceptor{breaker()}
	})
	middleware = intercepted("go-grpc-middleware retry, gobreaker, timeout", func() []grpc.UnaryClientInterceptor {
		return []grpc.UnaryClientInterceptor{
			retry.UnaryClientInterceptor(retry.WithMax(3), retry.WithCodes(codes.Unavailable),
				retry.WithBackoff(retry.BackoffExponentialWithJitter(25*time.Millisecond, 0.5))),
			breaker(),
			middlewaretimeout.UnaryClientInterceptor(timeout),
		}
	})
	failsafeGuards = intercepted("failsafe-go retry, breaker, timeout", func() []grpc.UnaryClientInterceptor {
		retries, breaker, timeout := failsafePolicies()
		return []grpc.UnaryClientInterceptor{failsafegrpc.NewUnaryClientInterceptor(retries, breaker, timeout)}
	})
	failsafeHedge = intercepted("failsafe-go retry, breaker, hedge, timeout", func() []grpc.UnaryClientInterceptor {
		retries, breaker, timeout := failsafePolicies()
		hedge := hedgepolicy.NewWithDelay[*response](hedgeDelay)
		return []grpc.UnaryClientInterceptor{failsafegrpc.NewUnaryClientInterceptor(retries, breaker, hedge, timeout)}
	})
	goZeroGuards  = goZero("go-zero breaker, timeout", zrpc.ClientMiddlewaresConf{Breaker: true, Timeout: true})
	goZeroDefault = goZero("go-zero, its defaults", goZeroDefaults().Middlewares)
	kratosBreaker = peer{"Kratos breaker", func(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
		conn, err := kratos.Dial(tb.Context(), kratos.WithEndpoint(network.Target), kratos.WithTimeout(0),
			kratos.WithMiddleware(kratosbreaker.Client()), kratos.WithHealthCheck(false),
			kratos.WithOptions(append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...))
		return closing(tb, conn, err)
	}}
)

// hedgeDelay is longer than any call here: a hedge is armed and not sent.
const hedgeDelay = 100 * time.Millisecond

// pass is an interceptor that does nothing.
func pass(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, in, out, cc, opts...)
}

// breaker is an interceptor around gobreaker, set as our circuit breaker is by default.
func breaker() grpc.UnaryClientInterceptor {
	cb := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval: 10 * time.Second,
		Timeout:  5 * time.Second,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.Requests >= 20 && c.TotalFailures*2 >= c.Requests
		},
	})
	return func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		_, err := cb.Execute(func() (struct{}, error) {
			return struct{}{}, invoke(ctx, method, in, out, cc, opts...)
		})
		return err
	}
}

// failsafePolicies are set as ours are by default.
func failsafePolicies() (retries, breaker, limit failsafe.Policy[*response]) {
	retries = failsafegrpc.NewRetryPolicyBuilder[*response]().WithMaxRetries(2).WithBackoff(25*time.Millisecond, time.Second).Build()
	breaker = circuitbreaker.NewBuilder[*response]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithDelay(5 * time.Second).Build()
	return retries, breaker, failsafetimeout.New[*response](timeout)
}

// goZeroDefaults is the configuration of a client that says nothing.
func goZeroDefaults() zrpc.RpcClientConf {
	var c zrpc.RpcClientConf
	if err := conf.FillDefault(&c); err != nil {
		panic(err)
	}
	return c
}

func goZero(name string, on zrpc.ClientMiddlewaresConf) peer {
	return peer{name, func(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
		c := goZeroDefaults()
		c.Target, c.Timeout, c.Middlewares = network.Target, timeout.Milliseconds(), on
		var all []zrpc.ClientOption
		for _, o := range opts {
			all = append(all, zrpc.WithDialOption(o))
		}
		client, err := zrpc.NewClient(c, all...)
		if err != nil {
			tb.Fatal(err)
		}
		return closing(tb, client.Conn(), nil)
	}}
}

func closing(tb testing.TB, conn *grpc.ClientConn, err error) *grpc.ClientConn {
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return conn
}
