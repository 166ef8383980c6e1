package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
)

// tracer prints the calls of ours that fail or take long, with what became of each attempt.
type tracer struct {
	from  time.Duration // how long a call takes that is printed
	began time.Time
	made  atomic.Int32 // clients
}

// options have t told of calls.
func (t *tracer) options() []goresilient.Option {
	if t == nil {
		return nil
	}
	client := t.made.Add(1)
	call := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		h, began := new(history), time.Now()
		err := invoke(context.WithValue(ctx, historyKey{}, h), method, req, reply, cc, opts...)
		if took := time.Since(began); err != nil || took >= t.from {
			fmt.Fprintf(os.Stderr, "%.3f s, client %d: %s, %v: %s\n", began.Sub(t.began).Seconds(), client, ms(took), status.Code(err), h)
		}
		return err
	}
	return []goresilient.Option{goresilient.WithUnaryInterceptor(call), goresilient.WithObserver(t)}
}

// history is what happened to a call.
type history struct {
	mu    sync.Mutex // guards lines
	lines []string
}

type historyKey struct{}

// String returns all that happened so far.
func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "; ")
}

// Observe implements [goresilient.Observer].
func (t *tracer) Observe(ctx context.Context, e goresilient.Event) {
	h, ok := ctx.Value(historyKey{}).(*history)
	if !ok {
		return
	}
	var line string
	switch e := e.(type) {
	case *goresilient.AttemptEvent:
		line = fmt.Sprintf("from %s %v", ms(e.Attempt.Start), e.Attempt)
	case *goresilient.StopEvent:
		line = fmt.Sprintf("stopped: %s", e.Reason)
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}
