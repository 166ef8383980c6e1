package goresilient_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	goresilient "github.com/goresilient/goresilient/runtime"
)

// slowDecoder is a connection whose attempts write their reply after a while, as grpc does when the answer comes.
type slowDecoder struct {
	grpc.ClientConnInterface
	after time.Duration
}

func (d slowDecoder) Invoke(_ context.Context, _ string, _, out any, _ ...grpc.CallOption) error {
	time.Sleep(d.after)
	proto.Reset(out.(proto.Message))
	return nil
}

// A hedge begins while the first attempt may be writing its reply, and does not look at it. The race detector agrees.
func TestHedgeBesideADecodingAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustClient(t, goresilient.WithConn(slowDecoder{after: 10 * ms}), hedgeAfter(10*ms, 3, nil))
		for range 50 {
			if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
