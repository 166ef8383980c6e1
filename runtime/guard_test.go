package goresilient_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

func TestAnEmptiedRegistryDoesNotBlackOutItsCallers(t *testing.T) {
	r := manual.NewBuilderWithScheme("emptied")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: serve(t, &testServer{})}, {Addr: serve(t, &testServer{})}}})
	o := goresilient.NewOverrides()
	c := mustClient(t, goresilient.WithTarget("emptied:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r), goresilient.WithBlock(),
		goresilient.WithOverrides(o), goresilient.WithPolicy(&policy.Service{Discovery: &policy.Discovery{EmptyGrace: policy.Set(time.Hour)}}))
	r.UpdateState(resolver.State{})
	for range 10 {
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Fatalf("after the registry was emptied: %v", err)
		}
	}
	if n := len(c.Snapshot().Endpoints); n != 2 {
		t.Fatalf("%d endpoints, want the 2 of before", n)
	}
	// The operator knows better.
	if err := o.Set("console", override("    policy: {discovery: {empty_grace: 0s}}\n")); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Snapshot().Endpoints); n != 0 {
		t.Fatalf("%d endpoints are left without a grace", n)
	}
}
