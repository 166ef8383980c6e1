package calls_test

import (
	"context"
	"testing"

	"github.com/goresilient/goresilient/bench/internal/contest"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// schema is the plain service as if its RPC were declared free of side effects, so that it may be retried and hedged.
var schema = &goresilient.ServiceDesc{
	Name:    plainv1.PlainService_ServiceDesc.ServiceName,
	Methods: []goresilient.MethodDesc{{Name: "GetItem", Idempotency: policy.NoSideEffects}},
}

// guards is every guard, and retry; all have room for a benchmark. There is no deadline.
func guards() *policy.Service {
	return &policy.Service{
		RetryBudget:      &policy.RetryBudget{},
		AdaptiveThrottle: &policy.AdaptiveThrottle{},
		MethodDefaults: &policy.Method{
			Retry:            &policy.Retry{},
			CircuitBreaker:   &policy.CircuitBreaker{},
			ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1000)},
			RateLimit:        &policy.RateLimit{CallsPerSecond: policy.Set(1e9)},
		},
	}
}

// deadlines is guards with a deadline of the call and one of each attempt.
func deadlines() *policy.Service {
	p := guards()
	p.MethodDefaults.Timeout = &policy.Timeout{Total: policy.Set(total), PerAttempt: policy.Set(perAttempt)}
	return p
}

// hedged is deadlines with a hedge that is armed.
func hedged() *policy.Service {
	p := deadlines()
	p.MethodDefaults.Hedging = &policy.Hedging{Delay: policy.Set(hedgeDelay)}
	return p
}

// ours is a contender that calls through a client with the policy and the connection given.
func ours(ctx context.Context, tb testing.TB, name string, p *policy.Service, connection ...goresilient.Option) contest.Contender {
	client, err := goresilient.NewClient(schema, append(connection, goresilient.WithPolicy(p), goresilient.WithoutEnvironment())...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := client.Close(); err != nil {
			tb.Error(err)
		}
	})
	method := goresilient.NewUnaryMethod[plainv1.GetItemRequest, response](client, "GetItem")
	in := request()
	return contest.Contender{Name: name, Call: func() error {
		_, err := method.Call(ctx, in)
		return err
	}}
}
