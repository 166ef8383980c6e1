package goresilient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// What grpc refuses to send never reaches a server.
func TestRequestsThatAreNotSent(t *testing.T) {
	for name, request := range map[string]*grpc_testing.SimpleRequest{
		"too large":     {Payload: &grpc_testing.Payload{Body: make([]byte, 1000)}},
		"not encodable": {ResponseStatus: &grpc_testing.EchoStatus{Message: "\xff"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, touchy(&policy.Method{MaxRequestBytes: policy.Set(100)}))
				for range 50 {
					if _, err := st.stub.UnaryCall(t.Context(), request); status.Code(err) != codes.ResourceExhausted && status.Code(err) != codes.Internal {
						t.Fatal(err)
					}
				}
				st.expectNobodyBlamed(t)
			})
		})
	}
}

// A server that cannot encode its answer says so in grpc's own words.
func TestServersThatCannotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNetwork()
		n.serveAs(t, "a:1", &testServer{unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
			return &grpc_testing.SimpleResponse{Hostname: "\xff"}, nil
		}})
		c := mustClient(t, insecureAt("a:1"), n.dialer(), goresilient.WithBlock(), goresilient.WithPolicy(&policy.Service{
			CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(5), Codes: []codes.Code{codes.Internal}},
		}))
		for range 5 {
			if _, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Internal {
				t.Fatal(err)
			}
		}
		var refused *goresilient.RefusedError
		if _, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}); !errors.As(err, &refused) {
			t.Errorf("after five failures: %v", err)
		}
	})
}
