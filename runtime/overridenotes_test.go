package goresilient_test

import (
	"strings"
	"testing"

	goresilient "github.com/goresilient/goresilient/runtime"
)

// otherService shares a channel with the test service.
var otherService = goresilient.ServiceDesc{Name: "other.Service", Methods: []goresilient.MethodDesc{{Name: "Get"}}}

func otherClient(t *testing.T, opts ...goresilient.Option) *goresilient.Client {
	t.Helper()
	c, err := goresilient.NewClient(&otherService, append(opts, goresilient.WithoutEnvironment())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func mustSet(t *testing.T, o *goresilient.Overrides, source, document string) {
	t.Helper()
	if err := o.Set(source, []byte(document)); err != nil {
		t.Fatal(err)
	}
}

func TestOverrideOfAForeignConnectionIsNoted(t *testing.T) {
	document := string(override("    policy:\n      load_balancing: {round_robin: {}}\n      connection: {idle_timeout: 1m}\n      method_defaults: {timeout: {total: 3s}}\n"))
	for _, late := range []bool{false, true} {
		told := 0
		o := goresilient.NewOverrides(goresilient.OnOverrides(func(goresilient.OverridesStatus) { told++ }))
		if late {
			mustSet(t, o, "console", document)
		}
		mustClient(t, goresilient.WithConn(fakeConn{}), goresilient.WithOverrides(o))
		if !late {
			mustSet(t, o, "console", document)
		}
		notes := o.Status().Notes.Error()
		for _, want := range []string{
			"console:5: load_balancing: cannot change the connection that WithConn gives; set it where the connection is made",
			"console:6: connection: cannot change",
		} {
			if !strings.Contains(notes, want) {
				t.Errorf("late = %v: notes = %s, want %q", late, notes, want)
			}
		}
		if strings.Contains(notes, "next start") || strings.Contains(notes, "method_defaults") {
			t.Errorf("late = %v: notes = %s", late, notes)
		}
		if late && told != 2 {
			t.Errorf("told %d times, want once for the document and once for the client", told)
		}
	}
}

const disagreeing = `version: goresilient.v1
services:
  grpc.testing.TestService: {policy: {load_balancing: {least_request: {choices: 4}}, connection: {idle_timeout: 2m}}}
  other.Service: {policy: {load_balancing: {round_robin: {}}}}
`

func TestOverridesThatDisagreeAboutASharedChannel(t *testing.T) {
	note := "wants least_request, and other.Service, which has the same channel, wants round_robin (override, console:4); other.Service wins"
	other := "other.Service wants round_robin, and grpc.testing.TestService, which has the same channel, wants least_request (override, console:3); other.Service wins"
	inForce := func(t *testing.T, c *testClient) string { t.Helper(); return c.Snapshot().Policy.LoadBalancing.Arm() }
	t.Run("in one document", func(t *testing.T) {
		o := goresilient.NewOverrides()
		ch := mustChannel(t, insecureAt("127.0.0.1:1"))
		c := mustClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(o))
		otherClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(o))
		for range 2 {
			mustSet(t, o, "console", disagreeing)
			if notes := o.Status().Notes.Error(); strings.Count(notes, "wins") != 1 || !strings.Contains(notes, other) || inForce(t, c) != "round_robin" {
				t.Fatalf("%s is in force, notes = %s", inForce(t, c), notes)
			}
		}
		mustSet(t, o, "console", strings.Replace(disagreeing, "round_robin: {}", "least_request: {choices: 5}", 1))
		if notes := o.Status().Notes.Error(); strings.Count(notes, "wins") != 1 || !strings.Contains(notes, "load_balancing.least_request.choices: other.Service wants 5") {
			t.Fatalf("notes = %s", notes)
		}
	})
	t.Run("in two documents", func(t *testing.T) {
		first, second := goresilient.NewOverrides(), goresilient.NewOverrides()
		ch := mustChannel(t, insecureAt("127.0.0.1:1"))
		c := mustClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(first))
		otherClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(second))
		mustSet(t, second, "console", disagreeing)
		mustSet(t, first, "console", disagreeing) // later, and yet of the client that was made first
		if notes := first.Status().Notes.Error(); !strings.Contains(notes, note) || inForce(t, c) != "round_robin" {
			t.Fatalf("%s is in force, notes = %s", inForce(t, c), notes)
		}
		if notes := second.Status().Notes.Error(); strings.Contains(notes, "wins") {
			t.Fatalf("notes of the document that came first = %s", notes)
		}
	})
	t.Run("which is there before the clients", func(t *testing.T) {
		o := goresilient.NewOverrides()
		mustSet(t, o, "console", disagreeing)
		ch := mustChannel(t, insecureAt("127.0.0.1:1"))
		last := otherClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(o))
		c := mustClient(t, goresilient.WithChannel(ch), goresilient.WithOverrides(o))
		notes := o.Status().Notes.Error()
		if strings.Count(notes, "wins") != 1 || !strings.Contains(notes, "grpc.testing.TestService wins") || inForce(t, c) != "least_request" {
			t.Fatalf("%s is in force, notes = %s", inForce(t, c), notes)
		}
		if !strings.Contains(notes, "connection.idle_timeout: 2m is fixed when a client is made") {
			t.Fatalf("notes = %s; the channel had started without it", notes)
		}
		_ = c.Close()
		if got := last.Snapshot().Policy.LoadBalancing.Arm(); got != "round_robin" {
			t.Fatalf("%s is in force after the client whose override won has left", got)
		}
	})
}
