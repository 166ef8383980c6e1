package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/test/etcd/etcdserverpb/etcdserverpbresilient"
)

// attemptTimeout is how long a writer waits for etcd before it tries again.
const attemptTimeout = 300 * time.Millisecond

// writer puts one key after the other. A put that has failed may have been carried out nevertheless; the writer repeats it
// with the same key and value until etcd acknowledges it.
type writer struct {
	client   *etcdserverpbresilient.KVResilientClient
	progress *progress
	name     string
	// written is for its reader once run has returned.
	written []write
}

// write is an acknowledged write.
type write struct {
	key, value string
	revision   int64
}

// run writes until stopped is set, and ends with an acknowledged write.
func (w *writer) run(ctx context.Context, stopped *atomic.Bool) error {
	for i := 0; !stopped.Load(); i++ {
		put := write{key: fmt.Sprintf("%s%s/%06d", prefix, w.name, i), value: fmt.Sprintf("%s-%d", w.name, i)}
		if err := w.put(ctx, &put); err != nil {
			return fmt.Errorf("put %s: %w", put.key, err)
		}
		w.written = append(w.written, put)
	}
	return nil
}

// put repeats a put until it is acknowledged.
func (w *writer) put(ctx context.Context, put *write) error {
	in := &pb.PutRequest{Key: []byte(put.key), Value: []byte(put.value)}
	for {
		out, err := w.client.Put(ctx, in, goresilient.CallTimeout(attemptTimeout))
		var deadline *goresilient.DeadlineError
		switch {
		case err == nil:
			put.revision = out.Header.Revision
			w.progress.note(func(c *counts) { c.acknowledged++ })
			return nil
		case errors.As(err, &deadline):
			w.progress.note(func(c *counts) { c.timedOut++ })
		case status.Code(err) == codes.Unavailable:
			w.progress.note(func(c *counts) { c.broken++ })
		default:
			return err
		}
	}
}
