package main

import (
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafegrpc"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/clients"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
)

// failsafeOver is grpc's client under failsafe-go's interceptor. Each client has policies of its own.
func failsafeOver(config string) func([]string, ...grpc.DialOption) (clients.Client, error) {
	return func(addrs []string, opts ...grpc.DialOption) (clients.Client, error) {
		return clients.GRPC(addrs, config, append(opts, grpc.WithChainUnaryInterceptor(failsafes()))...)
	}
}

// failsafes are failsafe-go's policies, as its documentation composes them: retries around a breaker around a hedge around the
// deadline of an attempt. An attempt's error does not end a hedge that may still succeed. Neither retries nor hedges have a
// budget, which is failsafe-go's default: nothing keeps them from helping.
func failsafes() grpc.UnaryClientInterceptor {
	type response = *plainv1.GetItemResponse
	policies := []failsafe.Policy[response]{
		failsafegrpc.NewRetryPolicyBuilder[response]().HandleErrors(failsafetimeout.ErrExceeded).WithMaxRetries(4).
			WithBackoff(25*time.Millisecond, time.Second).WithJitterFactor(0.5).Build(),
		circuitbreaker.NewBuilder[response]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithDelay(5 * time.Second).Build(),
		hedgepolicy.NewBuilderWithDelayQuantile[response](0.95, 1000, 100).WithMaxHedges(1).
			CancelIf(func(_ response, err error) bool { return err == nil }).Build(),
		failsafetimeout.New[response](perAttempt),
	}
	return failsafegrpc.NewUnaryClientInterceptor(policies...)
}
