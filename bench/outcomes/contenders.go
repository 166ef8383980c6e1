package main

import (
	"context"
	"errors"
	"strings"
	"time"

	kratosbreaker "github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	kratos "github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/xds" // registers outlier_detection_experimental (gRFC A50)

	"github.com/goresilient/goresilient/bench/internal/clients"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// contender is a client and how it is set: what its documentation offers against the faults of the schedule is on. Where
// several have a setting, it is the same for all: perAttempt, five attempts, a back-off from 25 ms, a hedge at the 95th
// percentile (ours: the 96.5th, since its cap raises it), a breaker at half of the calls of 10 s, ejection for 2 s of at most half of the servers. Five attempts are the most
// that grpc and ours allow; ours counts hedges among them, failsafe-go may hedge each.
type contender struct {
	name string
	make func(addrs []string, opts ...grpc.DialOption) (clients.Client, error)
}

// perAttempt is the deadline of an attempt of those that have one: well above what a call takes.
const perAttempt = 250 * time.Millisecond

const ours = "goresilient"

// contenders are all of them; trace, if there is one, is told of the calls of ours.
func contenders(trace *tracer) []contender {
	return []contender{
		{ours, func(addrs []string, opts ...grpc.DialOption) (clients.Client, error) {
			return clients.Ours(annotated(), append(trace.options(), goresilient.WithTarget("static:///"+strings.Join(addrs, ",")),
				goresilient.WithInsecure(), goresilient.WithDialOptions(opts...))...)
		}},
		{"grpc", overGRPC(config(roundRobin, ""))},
		{"grpc, retryPolicy", overGRPC(config(roundRobin, retryPolicy))},
		{"grpc, retryPolicy, least_request, outlier detection", overGRPC(config(detecting, retryPolicy))},
		{"failsafe-go over grpc", failsafeOver(config(roundRobin, ""))},
		{"failsafe-go over grpc, least_request, outlier detection", failsafeOver(config(detecting, ""))},
		{"go-zero", goZero("")},
		{"go-zero, retryPolicy", goZero(config(`{"p2c_ewma":{}}`, retryPolicy))},
		{"Kratos", overKratos},
	}
}

// annotated is what the schema of a service like this one would say.
func annotated() *policy.Service {
	return &policy.Service{
		LoadBalancing: &policy.LoadBalancing{Adaptive: &policy.Adaptive{}},
		OutlierDetection: &policy.OutlierDetection{
			ConsecutiveFailures: policy.Set(5), BaseEjectionTime: policy.Set(2 * time.Second), MaxEjectedRatio: policy.Set(0.5),
		},
		MethodDefaults: &policy.Method{
			Timeout:        &policy.Timeout{Total: policy.Set(timeout), PerAttempt: policy.Set(perAttempt)},
			Retry:          &policy.Retry{MaxAttempts: policy.Set(5)},
			Hedging:        &policy.Hedging{DelayQuantile: policy.Set(0.95)},
			CircuitBreaker: &policy.CircuitBreaker{},
		},
	}
}

const (
	roundRobin = `{"round_robin":{}}`
	// detecting is what grpc has against servers that fail, hang or are slow: the least loaded of three, of those that are not
	// ejected. It looks as often, and judges by as few calls, as a client with 30 calls a second needs.
	detecting = `{"outlier_detection_experimental":{"interval":"1s","baseEjectionTime":"2s","maxEjectionPercent":50,
		"failurePercentageEjection":{"threshold":50,"enforcementPercentage":100,"minimumHosts":3,"requestVolume":3},
		"childPolicy":[{"least_request_experimental":{"choiceCount":3}}]}}`
	retryPolicy = `"methodConfig":[{"name":[{"service":"acme.plain.v1.PlainService"}],"retryPolicy":{"maxAttempts":5,
		"initialBackoff":"0.025s","maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]`
)

// config is a service config of a balancer and, unless it is "", a methodConfig.
func config(balancer, methods string) string {
	c := `{"loadBalancingConfig":[` + balancer + `]`
	if methods != "" {
		c += "," + methods
	}
	return c + "}"
}

func overGRPC(config string) func([]string, ...grpc.DialOption) (clients.Client, error) {
	return func(addrs []string, opts ...grpc.DialOption) (clients.Client, error) {
		return clients.GRPC(addrs, config, opts...)
	}
}

// goZero is go-zero's client with its default interceptors, breaker among them, and its p2c; config, unless it is "", replaces
// the service config that go-zero sets. It balances over the addresses in any order: in another order, they are another target,
// and a client has a breaker of its own, as it would in a process of its own.
func goZero(config string) func([]string, ...grpc.DialOption) (clients.Client, error) {
	return func(addrs []string, opts ...grpc.DialOption) (clients.Client, error) {
		var c zrpc.RpcClientConf
		if err := conf.FillDefault(&c); err != nil {
			return clients.Client{}, err
		}
		c.Endpoints, c.Timeout = addrs, timeout.Milliseconds()
		if config != "" {
			opts = append(opts, grpc.WithDefaultServiceConfig(config))
		}
		var options []zrpc.ClientOption
		for _, o := range opts {
			options = append(options, zrpc.WithDialOption(o))
		}
		client, err := zrpc.NewClient(c, options...)
		if err != nil {
			return clients.Client{}, err
		}
		return over(client.Conn()), nil
	}
}

// overKratos is Kratos's client with its breaker and its p2c. It has no retries.
func overKratos(addrs []string, opts ...grpc.DialOption) (clients.Client, error) {
	conn, err := kratos.DialInsecure(context.Background(), kratos.WithEndpoint("direct:///"+strings.Join(addrs, ",")),
		kratos.WithTimeout(timeout), kratos.WithHealthCheck(false), kratos.WithMiddleware(kratosbreaker.Client()),
		kratos.WithPrintDiscoveryDebugLog(false), kratos.WithOptions(opts...))
	if err != nil {
		return clients.Client{}, errors.New("kratos: " + err.Error())
	}
	return over(conn), nil
}

// over is the plain generated client over a connection.
func over(conn *grpc.ClientConn) clients.Client {
	stub := plainv1.NewPlainServiceClient(conn)
	return clients.Client{
		Call: func(ctx context.Context) error {
			_, err := stub.GetItem(ctx, &plainv1.GetItemRequest{ItemId: "42"})
			return err
		},
		Close: conn.Close,
	}
}
