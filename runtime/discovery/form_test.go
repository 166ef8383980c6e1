package discovery

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/resolver"
)

// Two states of a resolver have one form, whatever they list; one that somebody has changed has none.
func TestForm(t *testing.T) {
	state := func(named bool, addresses ...string) resolver.State {
		v := &view{serverNames: named}
		v.apply(Event{Reset: true, Put: entries(addresses...)})
		return v.state()
	}
	of := func(s resolver.State) Form { return SetOf(s).Form(s.Endpoints) }
	a, b, named := state(false, "10.0.0.1:443"), state(false, "10.0.0.2:443", "10.0.0.3:443"), state(true, "10.0.0.1:443")
	if of(a) == 0 || of(a) != of(b) {
		t.Errorf("forms %d and %d, want one", of(a), of(b))
	}
	if of(named) == 0 || of(named) == of(a) {
		t.Errorf("with server names the form is %d, without them %d", of(named), of(a))
	}
	if f := SetOf(a).Form(slices.Clone(a.Endpoints)); f != 0 {
		t.Errorf("endpoints that were copied have the form %d", f)
	}
	if f := SetOf(a).Form(b.Endpoints); f != 0 {
		t.Errorf("endpoints of another set have the form %d", f)
	}
	if f := SetOf(state(false)).Form(nil); f != 0 {
		t.Errorf("no endpoints have the form %d", f)
	}
	guard := NewStateGuard(GuardConfig{EmptyGrace: time.Hour, MaxRemovedRatio: 0.1})
	now := time.Now()
	guard.Apply(now, b, false)
	held, _ := guard.Apply(now, state(false, "10.0.0.2:443"), false)
	if len(held.Endpoints) != 2 || of(held) != 0 {
		t.Errorf("%d endpoints, of which one is held, have the form %d", len(held.Endpoints), of(held))
	}
}

func TestSameTarget(t *testing.T) {
	base := Endpoint{Addresses: []string{"a:1", "b:1"}, serverName: "db"}
	tests := []struct {
		name  string
		other Endpoint
		same  bool
	}{
		{"itself", base, true},
		{"a copy", Endpoint{Addresses: []string{"a:1", "b:1"}, serverName: "db", Weight: 7, Zone: "z", Priority: 3}, true},
		{"another order", Endpoint{Addresses: []string{"b:1", "a:1"}, serverName: "db"}, false},
		{"fewer addresses", Endpoint{Addresses: base.Addresses[:1], serverName: "db"}, false},
		{"another name", Endpoint{Addresses: base.Addresses, serverName: "other"}, false},
	}
	for _, tt := range tests {
		if got := base.SameTarget(&tt.other); got != tt.same {
			t.Errorf("%s: SameTarget = %v", tt.name, got)
		}
	}
}
