package goresilient_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// limited are policies under which the permits of a concurrency limit may stand for the calls that hold them.
func limited() map[string]*policy.Service {
	limit := &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}
	queue := &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), MaxQueued: policy.Set(10)}
	retry := &policy.Retry{MaxAttempts: policy.Set(2), Backoff: &policy.Backoff{Initial: policy.Set(time.Hour), Max: policy.Set(time.Hour)}}
	hedging := &policy.Hedging{Delay: policy.Set(time.Hour)}
	return map[string]*policy.Service{
		"none":       {MethodDefaults: &policy.Method{Retry: retry}},
		"method's":   {MethodDefaults: &policy.Method{ConcurrencyLimit: limit, Retry: retry}},
		"service's":  {ConcurrencyLimit: limit, MethodDefaults: &policy.Method{Retry: retry}},
		"both":       {ConcurrencyLimit: limit, MethodDefaults: &policy.Method{ConcurrencyLimit: limit, Retry: retry}},
		"queue":      {MethodDefaults: &policy.Method{ConcurrencyLimit: queue, Retry: retry}},
		"hedged":     {MethodDefaults: &policy.Method{ConcurrencyLimit: limit, Retry: retry, Hedging: hedging}},
		"observed":   {MethodDefaults: &policy.Method{ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), Observe: policy.Set(true)}, Retry: retry}},
		"no retries": {MethodDefaults: &policy.Method{ConcurrencyLimit: limit}},
	}
}

// gated is a connection whose calls wait until they are told how to end.
type gated struct {
	grpc.ClientConnInterface
	enter  chan struct{} // receives when a call begins
	inside atomic.Int64

	mu  sync.Mutex
	end chan error // of the calls that begin now
}

func newGated() *gated { return &gated{enter: make(chan struct{}, 100), end: make(chan error)} }

func (g *gated) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	g.inside.Add(1)
	defer g.inside.Add(-1)
	g.mu.Lock()
	end := g.end
	g.mu.Unlock()
	g.enter <- struct{}{}
	return <-end
}

// A call is one that runs from its beginning to its end, whoever counts it: while it is on its way, between two attempts, and in
// its fallback. Shutdown waits for it all that time.
func TestRunningCalls(t *testing.T) {
	for name, p := range limited() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := newGated()
				falling, landed := make(chan struct{}), make(chan struct{})
				var opts testOptions
				opts.EmptyCall.Fallback = func(_ context.Context, _ *grpc_testing.Empty, err error) (*grpc_testing.Empty, error) {
					close(falling)
					<-landed
					return nil, err
				}
				c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), opts)
				done := make(chan error, 1)
				go func() {
					_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
					done <- err
				}()
				down := make(chan error, 1)
				running := func(where string) {
					t.Helper()
					synctest.Wait()
					if n := c.Snapshot().Running; n != 1 {
						t.Errorf("%s: %d calls running, want 1", where, n)
					}
					if len(down) > 0 {
						t.Errorf("%s: Shutdown has returned", where)
					}
				}
				<-conn.enter
				running("first attempt")
				go func() { down <- c.Shutdown(context.Background()) }()
				running("first attempt, shutting down")
				conn.end <- errUnavailable
				if p.MethodDefaults.Retry != nil {
					running("back-off")
					<-conn.enter
					running("second attempt")
					conn.end <- errUnavailable
				}
				<-falling
				running("fallback")
				close(landed)
				if err := <-down; err != nil {
					t.Error(err)
				}
				if err := <-done; err == nil {
					t.Error("the call succeeded")
				}
				if n := c.Snapshot().Running; n != 0 {
					t.Errorf("%d calls running at the end", n)
				}
			})
		})
	}
}

// A call that a guard refuses, and whose fallback answers, runs as well.
func TestRunningRefusedCall(t *testing.T) {
	policies := limited()
	policies["rate"] = &policy.Service{MethodDefaults: &policy.Method{
		ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(5)},
		RateLimit:        &policy.RateLimit{CallsPerSecond: policy.Set(1e-3), Burst: policy.Set(1)},
	}}
	for name, p := range policies {
		if name == "none" || name == "queue" || name == "observed" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			conn := newGated()
			falling, landed := make(chan struct{}), make(chan struct{})
			var opts testOptions
			opts.EmptyCall.Fallback = func(context.Context, *grpc_testing.Empty, error) (*grpc_testing.Empty, error) {
				close(falling)
				<-landed
				return &grpc_testing.Empty{}, nil
			}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), opts)
			var calls sync.WaitGroup
			call := func() {
				if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
					t.Error(err)
				}
			}
			calls.Go(call)
			<-conn.enter
			calls.Go(call)
			<-falling
			if n := c.Snapshot().Running; n != 2 {
				t.Errorf("%d calls running, want one that is on its way and one in its fallback", n)
			}
			close(landed)
			conn.end <- nil
			calls.Wait()
			if n := c.Snapshot().Running; n != 0 {
				t.Errorf("%d calls running at the end", n)
			}
		})
	}
}

// So does one that waits for a permit.
func TestRunningCallThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newGated()
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(limited()["queue"]))
		done, down := make(chan error, 2), make(chan error, 1)
		for range 2 {
			go func() {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				done <- err
			}()
		}
		synctest.Wait()
		go func() { down <- c.Shutdown(context.Background()) }()
		synctest.Wait()
		if n := c.Snapshot().Running; n != 2 {
			t.Errorf("%d calls running, want one that is on its way and one that waits", n)
		}
		conn.end <- nil
		conn.end <- nil
		if err := errors.Join(<-done, <-done, <-down); err != nil {
			t.Error(err)
		}
	})
}

// A call that meets a queue which its plan does not know of waits there as any other, and counts.
func TestRunningCallThatMeetsAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newGated()
		overrides := goresilient.NewOverrides()
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(limited()["method's"]), goresilient.WithOverrides(overrides))
		done, down := make(chan error, 2), make(chan error, 1)
		call := func(ctx context.Context) {
			_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
			done <- err
		}
		go call(t.Context())
		<-conn.enter
		ctx := slowContext{t.Context(), make(chan struct{}), make(chan struct{})}
		go call(ctx)
		<-ctx.asked
		document := "version: goresilient.v1\ndefaults: {method_defaults: {concurrency_limit: {max_in_flight: 1, max_queued: 5}}}\n"
		if err := overrides.Set("test", []byte(document)); err != nil {
			t.Fatal(err)
		}
		close(ctx.answer)
		<-ctx.asked
		synctest.Wait()
		go func() { down <- c.Shutdown(context.Background()) }()
		synctest.Wait()
		if n := c.Snapshot().Running; n != 2 {
			t.Errorf("%d calls running, want 2", n)
		}
		conn.end <- nil
		conn.end <- nil
		if err := errors.Join(<-done, <-done, <-down); err != nil {
			t.Error(err)
		}
	})
}

// A call that is about to wait when the client is closed ends there: it is neither sent nor made again.
func TestCallThatIsTooLateToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newGated()
		p := limited()["method's"]
		p.MethodDefaults.Retry.Codes = []codes.Code{codes.Canceled}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p))
		done, down := make(chan error, 1), make(chan error, 1)
		go func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) }()
		<-conn.enter
		ctx := slowContext{t.Context(), make(chan struct{}), make(chan struct{})}
		go func() {
			_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
			done <- err
		}()
		<-ctx.asked
		go func() { down <- c.Shutdown(context.Background()) }()
		synctest.Wait()
		go func() {
			for range ctx.asked {
			}
		}()
		close(ctx.answer)
		if err := <-done; !errors.Is(err, goresilient.ErrClosed) {
			t.Errorf("the call ended with %v", err)
		}
		conn.end <- nil
		if err := <-down; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour)
		if n := conn.inside.Load(); n != 0 || len(conn.enter) != 0 {
			t.Errorf("%d attempts are on their way, %d more have begun", n, len(conn.enter))
		}
		close(ctx.asked)
	})
}

// A limit that is switched off, or becomes a queue, while calls hold its permits goes on counting them.
func TestRunningCallsOfALimitThatChanges(t *testing.T) {
	for _, change := range []string{"{disabled: true}", "{max_in_flight: 5, max_queued: 5}", "{max_in_flight: 1, observe: true}"} {
		t.Run(change, func(t *testing.T) {
			conn := newGated()
			overrides := goresilient.NewOverrides()
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(limited()["no retries"]), goresilient.WithOverrides(overrides))
			done := make(chan error, 2)
			call := func() {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				done <- err
			}
			go call()
			<-conn.enter
			document := "version: goresilient.v1\ndefaults: {method_defaults: {concurrency_limit: " + change + "}}\n"
			if err := overrides.Set("test", []byte(document)); err != nil {
				t.Fatal(err)
			}
			go call()
			<-conn.enter
			if n := c.Snapshot().Running; n != 2 {
				t.Errorf("%d calls running, want 2", n)
			}
			conn.end <- nil
			conn.end <- nil
			if err := errors.Join(<-done, <-done, c.Shutdown(t.Context())); err != nil {
				t.Error(err)
			}
			if n := c.Snapshot().Running; n != 0 {
				t.Errorf("%d calls running at the end", n)
			}
		})
	}
}

// A connection that panics leaves no call behind.
func TestRunningCallsAfterAPanic(t *testing.T) {
	for name, p := range limited() {
		t.Run(name, func(t *testing.T) {
			c := mustClient(t, goresilient.WithPolicy(p), goresilient.WithConn(fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error {
				panic("broken")
			}}))
			for range 3 {
				func() {
					defer func() { _ = recover() }()
					_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				}()
			}
			if n, held := c.Snapshot().Running, goresilient.PermitsHeld(c.Client); n != 0 || held != 0 {
				t.Errorf("%d calls running, %d permits held", n, held)
			}
		})
	}
}

// slowContext takes its time to say what is in it.
type slowContext struct {
	context.Context
	asked, answer chan struct{}
}

func (c slowContext) Value(key any) any {
	c.asked <- struct{}{}
	<-c.answer
	return c.Context.Value(key)
}

// A call that was asked for before the client was closed, and that nobody has counted when it is, does not reach the connection.
func TestCallThatIsTooLate(t *testing.T) {
	for name, p := range limited() {
		if p.MethodDefaults.Retry == nil {
			continue // nobody asks the context
		}
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			var opts testOptions
			opts.EmptyCall.Fallback = func(_ context.Context, _ *grpc_testing.Empty, err error) (*grpc_testing.Empty, error) {
				sent.Add(1)
				return nil, err
			}
			c := mustClient(t, goresilient.WithPolicy(p), opts, goresilient.WithConn(fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error {
				sent.Add(1)
				return nil
			}}))
			ctx := slowContext{t.Context(), make(chan struct{}), make(chan struct{})}
			done, down := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
				done <- err
			}()
			<-ctx.asked
			counted := c.Snapshot().Running == 1
			go func() { down <- c.Shutdown(context.Background()) }()
			if !counted {
				if err := <-down; err != nil {
					t.Error(err)
				}
			}
			go func() {
				for range ctx.asked {
				}
			}()
			close(ctx.answer)
			switch err := <-done; {
			case counted && (err != nil || sent.Load() != 1):
				t.Errorf("a call that was counted ended with %v", err)
			case !counted && (!errors.Is(err, goresilient.ErrClosed) || sent.Load() != 0):
				t.Errorf("a call that was not counted ended with %v, after %d attempts", err, sent.Load())
			}
			if counted {
				if err := <-down; err != nil {
					t.Error(err)
				}
			}
			close(ctx.asked)
			if n, held := c.Snapshot().Running, goresilient.PermitsHeld(c.Client); n != 0 || held != 0 {
				t.Errorf("%d calls running, %d permits held", n, held)
			}
		})
	}
}

// A call that a guard refuses while the client is being closed either counts as running until its fallback has answered, or is
// refused because the client is closed, and has no fallback.
func TestRefusedWhileClosing(t *testing.T) {
	one := &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}
	many := &policy.ConcurrencyLimit{MaxInFlight: policy.Set(100)}
	policies := map[string]*policy.Service{
		"rate limit":      {MethodDefaults: &policy.Method{ConcurrencyLimit: many, RateLimit: &policy.RateLimit{CallsPerSecond: policy.Set(1e-3), Burst: policy.Set(1)}}},
		"method's limit":  {MethodDefaults: &policy.Method{ConcurrencyLimit: one}},
		"service's limit": {ConcurrencyLimit: one, MethodDefaults: &policy.Method{ConcurrencyLimit: many}},
	}
	for name, p := range policies {
		t.Run(name, func(t *testing.T) {
			for range 200 {
				var down atomic.Bool
				var opts testOptions
				opts.EmptyCall.Fallback = func(_ context.Context, _ *grpc_testing.Empty, err error) (*grpc_testing.Empty, error) {
					if down.Load() {
						t.Error("a fallback runs after Shutdown has returned")
					}
					return nil, err
				}
				conn := newGated()
				c := mustClient(t, goresilient.WithPolicy(p), opts, goresilient.WithConn(conn))
				var calls sync.WaitGroup
				calls.Go(func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) })
				<-conn.enter
				for range 3 {
					calls.Go(func() {
						for {
							if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); errors.Is(err, goresilient.ErrClosed) {
								return
							}
						}
					})
				}
				go func() {
					conn.end <- nil
					for range conn.enter { // those that the limit lets through afterwards
						conn.end <- nil
					}
				}()
				err := c.Shutdown(t.Context())
				down.Store(true)
				if err != nil {
					t.Error(err)
				}
				calls.Wait()
				close(conn.enter)
			}
		})
	}
}

// No attempt is on its way once Shutdown has returned, and none begins, however many calls begin and end at that moment.
func TestNoCallOutlivesShutdown(t *testing.T) {
	for name, p := range limited() {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				var inside, answered, closed atomic.Int64
				var opts testOptions
				opts.EmptyCall.Fallback = func(_ context.Context, _ *grpc_testing.Empty, err error) (*grpc_testing.Empty, error) {
					inside.Add(1)
					defer inside.Add(-1)
					return nil, err
				}
				c := mustClient(t, goresilient.WithPolicy(p), opts, goresilient.WithConn(fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error {
					inside.Add(1)
					defer inside.Add(-1)
					return nil
				}}))
				var calls sync.WaitGroup
				for range 4 {
					calls.Go(func() {
						for {
							switch _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); {
							case err == nil:
								answered.Add(1)
							case errors.Is(err, goresilient.ErrClosed):
								closed.Add(1)
								return
							case refusal(err) == nil:
								t.Error(err)
								return
							}
						}
					})
				}
				for answered.Load() < 20 {
					time.Sleep(10 * time.Microsecond)
				}
				if err := c.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if n := inside.Load(); n != 0 {
					t.Errorf("%d attempts or fallbacks are on their way after Shutdown", n)
				}
				calls.Wait()
				if n := c.Snapshot().Running; n != 0 || closed.Load() != 4 {
					t.Errorf("%d calls running at the end, %d goroutines saw that the client is closed", n, closed.Load())
				}
			}
		})
	}
}
