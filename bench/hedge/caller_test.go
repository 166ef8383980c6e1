package hedge_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// schema is the plain service as if its RPC were declared free of side effects, so that it may be hedged.
var schema = &goresilient.ServiceDesc{
	Name:    plainv1.PlainService_ServiceDesc.ServiceName,
	Methods: []goresilient.MethodDesc{{Name: "GetItem", Idempotency: policy.NoSideEffects}},
}

// caller is a client, and what came of its calls.
type caller struct {
	method *goresilient.UnaryMethod[plainv1.GetItemRequest, plainv1.GetItemResponse]
	result
}

// newCaller returns a client that hedges, or does not for nil. The options say over what it calls.
func newCaller(t *testing.T, h *policy.Hedging, options ...goresilient.Option) *caller {
	p := &policy.Service{MethodDefaults: &policy.Method{Hedging: h}}
	options = append([]goresilient.Option{goresilient.WithPolicy(p), goresilient.WithAttemptInterceptor(count), goresilient.WithoutEnvironment()}, options...)
	client, err := goresilient.NewClient(schema, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &caller{method: goresilient.NewUnaryMethod[plainv1.GetItemRequest, plainv1.GetItemResponse](client, "GetItem")}
}

// call makes a call for a key.
func (c *caller) call(number int, key string, recorded bool) {
	made := &call{number: uint64(number), start: time.Now()}
	ctx := context.WithValue(context.Background(), callKey{}, made)
	_, err := c.method.Call(ctx, &plainv1.GetItemRequest{ItemId: key}, goresilient.HashKey(key))
	c.add(made, time.Since(made.start), err, recorded)
}

// batches reads all of so many keys at once, so many times, and returns when the last batch is there. The first of them, warmUp
// many, are not recorded.
func (c *caller) batches(n, warmUp, keys int, every time.Duration) {
	names := make([]string, keys)
	for k := range names {
		names[k] = strconv.Itoa(k)
	}
	var batches sync.WaitGroup
	start := time.Now()
	for b := range n {
		time.Sleep(time.Until(start.Add(time.Duration(b) * every)))
		batches.Go(func() {
			var calls sync.WaitGroup
			began := time.Now()
			for k, name := range names {
				calls.Go(func() { c.call(b*keys+k, name, b >= warmUp) })
			}
			calls.Wait()
			if b >= warmUp {
				c.addBatch(time.Since(began))
			}
		})
	}
	batches.Wait()
}

// arrivals makes calls at random moments (a Poisson process that follows from the seed), rate a second, for so long, and returns
// when the last has ended. key is that of all calls. What begins within warmUp is not recorded.
func (c *caller) arrivals(length, warmUp time.Duration, rate float64, key string, seed uint64) {
	draw := rand.New(rand.NewPCG(seed, 0))
	var calls sync.WaitGroup
	defer calls.Wait()
	start := time.Now()
	for at, number := time.Duration(0), 0; ; number++ {
		at += time.Duration(draw.ExpFloat64() / rate * float64(time.Second))
		if at >= length {
			return
		}
		time.Sleep(time.Until(start.Add(at)))
		calls.Go(func() { c.call(number, key, at >= warmUp) })
	}
}
