package main

import (
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafegrpc"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/roundrobin"

	"github.com/goresilient/goresilient/bench/internal/clients"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// contender is a client and how it is set.
type contender struct {
	name string
	make func(addrs []string) (clients.Client, error)
}

// perAttempt is the deadline of an attempt of those that have one: well above what a call takes.
const perAttempt = 250 * time.Millisecond

const (
	roundRobin = `{"loadBalancingConfig":[{"round_robin":{}}]}`
	retrying   = `{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":[{"service":"acme.plain.v1.PlainService"}],
		"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.025s","maxBackoff":"1s","backoffMultiplier":2,
		"retryableStatusCodes":["UNAVAILABLE"]}}]}`
)

func contenders() []contender {
	return []contender{
		{"goresilient", func(addrs []string) (clients.Client, error) { return clients.OursOver(addrs, annotated()) }},
		{"grpc", func(addrs []string) (clients.Client, error) { return clients.GRPC(addrs, roundRobin) }},
		{"grpc, retryPolicy", func(addrs []string) (clients.Client, error) { return clients.GRPC(addrs, retrying) }},
		{"failsafe-go over grpc", func(addrs []string) (clients.Client, error) {
			return clients.GRPC(addrs, roundRobin, grpc.WithChainUnaryInterceptor(failsafes()))
		}},
		{"go-zero", func(addrs []string) (clients.Client, error) { return clients.GoZero(addrs, timeout) }},
		{"Kratos", func(addrs []string) (clients.Client, error) { return clients.Kratos(addrs, timeout) }},
	}
}

// annotated is what the schema of a service like this one would say.
func annotated() *policy.Service {
	return &policy.Service{
		LoadBalancing:    &policy.LoadBalancing{Adaptive: &policy.Adaptive{}},
		OutlierDetection: &policy.OutlierDetection{ConsecutiveFailures: policy.Set(5), BaseEjectionTime: policy.Set(2 * time.Second), MaxEjectedRatio: policy.Set(0.3)},
		MethodDefaults: &policy.Method{
			Timeout:        &policy.Timeout{Total: policy.Set(timeout), PerAttempt: policy.Set(perAttempt)},
			Retry:          &policy.Retry{MaxAttempts: policy.Set(3)},
			Hedging:        &policy.Hedging{DelayQuantile: policy.Set(0.95)},
			CircuitBreaker: &policy.CircuitBreaker{},
		},
	}
}

// failsafes are failsafe-go's policies, as its documentation composes them: retries around a breaker around a hedge around the
// deadline of an attempt.
func failsafes() grpc.UnaryClientInterceptor {
	type response = *plainv1.GetItemResponse
	policies := []failsafe.Policy[response]{
		failsafegrpc.NewRetryPolicyBuilder[response]().HandleErrors(failsafetimeout.ErrExceeded).WithMaxRetries(2).
			WithBackoff(25*time.Millisecond, time.Second).WithJitterFactor(0.5).Build(),
		circuitbreaker.NewBuilder[response]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithDelay(5 * time.Second).Build(),
		hedgepolicy.NewBuilderWithDelay[response](50 * time.Millisecond).WithMaxHedges(1).Build(),
		failsafetimeout.New[response](perAttempt),
	}
	return failsafegrpc.NewUnaryClientInterceptor(policies...)
}
