package goresilient_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// override is a document for the test service.
func override(body string) []byte {
	return []byte("version: goresilient.v1\nservices:\n  grpc.testing.TestService:\n" + body)
}

const unaryCall = 1 // index of UnaryCall in the test service

func TestOverrideIsInForceForTheNextCall(t *testing.T) {
	o := goresilient.NewOverrides()
	c := mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o), unaryCallPolicy(timeoutPolicy(7*time.Second)))
	timeout := func() time.Duration { return c.Snapshot().Methods[unaryCall].Timeout }
	set := func(body string) {
		t.Helper()
		if err := o.Set("console", override(body)); err != nil {
			t.Fatal(err)
		}
	}
	set("    methods: {UnaryCall: {timeout: {total: 3s}}}\n")
	if timeout() != 3*time.Second {
		t.Fatalf("timeout = %v, want the override's", timeout())
	}
	first := c.Snapshot()
	if got := first.Methods[unaryCall].Origins["timeout.total"].String(); got != "override, console:4" {
		t.Fatalf("origin = %s", got)
	}
	set("    policy: {method_defaults: {timeout: {total: 4s}}}\n")
	if timeout() != 4*time.Second || c.Snapshot().Override == first.Override {
		t.Fatalf("timeout = %v under version %s", timeout(), c.Snapshot().Override)
	}
	set("    methods: {UnaryCall: {timeout: {total: 3s}}}\n")
	if timeout() != 3*time.Second || c.Snapshot().Override != first.Override || o.Status().Version != first.Override {
		t.Fatal("putting the old document back is no rollback")
	}
	late := mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o))
	if got := late.Snapshot().Methods[unaryCall].Timeout; got != 3*time.Second {
		t.Fatalf("a client that was made later has %v", got)
	}
	o.Clear()
	if timeout() != 7*time.Second || c.Snapshot().Override != "" {
		t.Fatalf("after Clear: %v", timeout())
	}
}

func TestOverrideThatIsRefused(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"syntax", "    policy: {\n", "console"},
		{"unknown field", "    policy: {retries: 3}\n", "console:4:14: services.grpc.testing.TestService.policy.retries"},
		{"unknown RPC", "    methods: {Nothing: {}}\n", "console:4:15: services.grpc.testing.TestService.methods.Nothing: grpc.testing.TestService has no such RPC"},
		{"traits", "    traits: {UnaryCall: {idempotent_because: so}}\n", "console:4:14: services.grpc.testing.TestService.traits.UnaryCall"},
		{"unsafe", "    methods: {UnaryCall: {retry: {}}}\n", "methods.UnaryCall.retry: the RPC is not safe to repeat"},
		{"limit that is missing", "    policy: {rate_limit: {}}\n", "console:4:14: services.grpc.testing.TestService.policy.rate_limit.calls_per_second: is missing"},
		{"unregistered policy", "    policy: {load_balancing: {custom: {name: nobody}}}\n", "nobody"},
		{"several", "    policy: {retries: 3, hedges: 4}\n", "policy.hedges"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told []goresilient.OverridesStatus
			o := goresilient.NewOverrides(goresilient.OnOverrides(func(s goresilient.OverridesStatus) { told = append(told, s) }))
			c := mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o))
			if err := o.Set("good", override("    policy: {method_defaults: {timeout: {total: 3s}}}\n")); err != nil {
				t.Fatal(err)
			}
			err := o.Set("console", override(tt.body))
			var problems policy.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want it to say %q", err, tt.want)
			}
			if got := c.Snapshot().Methods[unaryCall].Timeout; got != 3*time.Second {
				t.Fatalf("timeout = %v: the running document must stay", got)
			}
			if s := o.Status(); s.Source != "good" || len(s.Problems) == 0 || len(told) != 2 {
				t.Fatalf("status = %+v, told %d times", s, len(told))
			}
		})
	}
}

func TestOverrideNotesWhatItDoesNotTake(t *testing.T) {
	o := goresilient.NewOverrides()
	c := mustClient(t, insecureAt("127.0.0.1:1"), goresilient.WithOverrides(o))
	err := o.Set("console", []byte("version: goresilient.v1\nservices:\n"+
		"  nobody.Here: {}\n"+
		"  grpc.testing.TestService:\n    policy: {target: \"static:///127.0.0.1:2\", connection: {idle_timeout: 1m}, load_balancing: {least_request: {}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Snapshot()
	if s.Target != "static:///127.0.0.1:1" || *s.Policy.Connection.IdleTimeout != 30*time.Minute || s.Policy.LoadBalancing.LeastRequest == nil {
		t.Fatalf("target %s, policy %+v", s.Target, s.Policy)
	}
	notes := o.Status().Notes.Error()
	for _, want := range []string{
		`console:5: target: "static:///127.0.0.1:2" is fixed when a client is made`,
		"console:5: connection.idle_timeout: 1m is fixed",
		"console:3:3: services.nobody.Here: no client of this process calls this service",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes = %s, want %q", notes, want)
		}
	}
}

func TestOverrideSwitchesTheBalancerAndDropsNoConnection(t *testing.T) {
	first, second := serve(t, &testServer{}), serve(t, &testServer{})
	o := goresilient.NewOverrides()
	c := mustClient(t, insecureAt(first+","+second), goresilient.WithOverrides(o),
		goresilient.WithPolicy(&policy.Service{Dial: &policy.Dial{Block: policy.Set(true), MinReady: policy.Set(2)}}))
	for _, arm := range []string{"least_request: {choices: 3}", "round_robin: {}", "least_request: {}"} {
		if err := o.Set("console", override("    policy: {load_balancing: {"+arm+"}}\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Fatalf("%s: %v", arm, err)
		}
	}
	for _, e := range c.Snapshot().Endpoints {
		if e.Attempts != 1 {
			t.Fatalf("%s was connected to %d times", e.Endpoint, e.Attempts)
		}
	}
}

// scriptedDocuments yields what the test sends.
type scriptedDocuments chan func() (string, []byte, error)

func (s scriptedDocuments) Next(ctx context.Context) (string, []byte, error) {
	select {
	case next := <-s:
		return next()
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

func TestOverridesFollowASource(t *testing.T) {
	told := make(chan goresilient.OverridesStatus, 1)
	o := goresilient.NewOverrides(goresilient.OnOverrides(func(s goresilient.OverridesStatus) { told <- s }))
	c := mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o))
	src := make(scriptedDocuments)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Follow(ctx, src) }()
	step := func(data []byte, err error) goresilient.OverridesStatus {
		src <- func() (string, []byte, error) { return "registry", data, err }
		return <-told
	}
	if s := step(override("    policy: {method_defaults: {timeout: {total: 3s}}}\n"), nil); s.Version == "" {
		t.Fatalf("status = %+v", s)
	}
	if s := step(nil, errors.New("the registry is away")); len(s.Problems) != 1 || s.Version == "" {
		t.Fatalf("status = %+v; an outage must change nothing", s)
	}
	if got := c.Snapshot().Methods[unaryCall].Timeout; got != 3*time.Second {
		t.Fatalf("timeout = %v", got)
	}
	if s := step(nil, nil); s.Version != "" || c.Snapshot().Methods[unaryCall].Timeout != 0 {
		t.Fatalf("status = %+v; a document that was deleted must go", s)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Follow = %v", err)
	}
}

func TestOverridesFollowAFileAndAKey(t *testing.T) {
	body := func(seconds int) []byte {
		return override(fmt.Sprintf("    policy: {method_defaults: {timeout: {total: %ds}}}\n", seconds))
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	writeFile := func(data []byte) {
		if err := os.WriteFile(file+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	registry := discovery.NewRegistry()
	defer registry.Close()
	writeKey := func(data []byte) {
		if _, err := registry.PutValue("policy", data); err != nil {
			t.Fatal(err)
		}
	}
	watchedFile, watchedKey := goresilient.NewFileDocuments(file), registry.WatchValue("policy")
	tests := []struct {
		name   string
		write  func([]byte)
		source goresilient.DocumentSource
		close  func()
		prefix string
	}{
		{"file", writeFile, watchedFile, watchedFile.Close, file},
		{"key", writeKey, goresilient.ValueDocuments("policy", watchedKey), watchedKey.Close, "policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			told := make(chan goresilient.OverridesStatus, 16)
			o := goresilient.NewOverrides(goresilient.OnOverrides(func(s goresilient.OverridesStatus) { told <- s }))
			c := mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o))
			until := func(reached func(goresilient.OverridesStatus) bool) {
				for s := range told {
					if reached(s) {
						return
					}
				}
			}
			tt.write(body(3))
			done := make(chan error, 1)
			go func() { done <- o.Follow(context.Background(), tt.source) }()
			inForce := func(seconds int) func(goresilient.OverridesStatus) bool {
				return func(goresilient.OverridesStatus) bool {
					return c.Snapshot().Methods[unaryCall].Timeout == time.Duration(seconds)*time.Second
				}
			}
			until(inForce(3))
			tt.write(body(4))
			until(inForce(4))
			tt.write([]byte("version: nothing"))
			until(func(s goresilient.OverridesStatus) bool {
				return len(s.Problems) > 0 && strings.HasPrefix(s.Problems.Error(), tt.prefix+":1:10: version") && s.Version != ""
			})
			tt.write(body(5))
			until(inForce(5))
			tt.close()
			if err := <-done; !errors.Is(err, discovery.ErrClosed) {
				t.Fatalf("Follow = %v", err)
			}
		})
	}
}
