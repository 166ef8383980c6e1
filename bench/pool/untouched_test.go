package pool_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/bench/internal/fake"
)

// TestRegisterTouchesNobodyElse registers one endpoint among many: the SubConns of the others hear nothing, their calls go on
// being counted, and calls still reach them by the picker.
func TestRegisterTouchesNobodyElse(t *testing.T) {
	const n = 1_000
	for i := range arms {
		t.Run(arms[i].name, func(t *testing.T) { testUntouched(t, alone(i), n) })
	}
}

func testUntouched(t *testing.T, of side, n int) {
	r := newRegistered(t, of, n)
	before := r.subject.Conn.Live()
	done := holdCalls(t, r.subject, 10*n)
	heard := make([]int64, len(before))
	for i, sc := range before {
		heard[i] = sc.Heard()
	}
	held := inFlight(r.subject)

	r.add(t)

	after := r.subject.Conn.Live()
	if len(after) != len(before)+1 {
		t.Fatalf("there are %d SubConns, want %d", len(after), len(before)+1)
	}
	for i, sc := range before {
		if after[i] != sc {
			t.Fatalf("endpoint %d has another SubConn", i)
		}
		if got := sc.Heard(); got != heard[i] {
			t.Errorf("the SubConn of endpoint %d heard %d calls of the balancer", i, got-heard[i])
		}
	}
	now := inFlight(r.subject)
	for id, calls := range held {
		if now[id] != calls {
			t.Errorf("%s has %d calls in flight, want %d as before", id, now[id], calls)
		}
	}
	reached := make(map[balancer.SubConn]bool)
	for range 20 * n {
		reached[pick(t, r.subject).SubConn] = true
	}
	if !reached[after[len(before)]] {
		t.Error("no call reaches the endpoint that registered")
	}
	for _, d := range done {
		d(balancer.DoneInfo{})
	}
}

// holdCalls makes calls that do not end. It returns what ends them.
func holdCalls(t *testing.T, s *fake.Subject, n int) (done []func(balancer.DoneInfo)) {
	for range n {
		if d := pick(t, s).Done; d != nil {
			done = append(done, d)
		}
	}
	return done
}

// pick is a call of some user.
func pick(t *testing.T, s *fake.Subject) balancer.PickResult {
	ctx := metadata.AppendToOutgoingContext(t.Context(), hashHeader, strconv.Itoa(rand.Int()))
	res, err := s.Conn.Picker().Pick(balancer.PickInfo{Ctx: ctx})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// inFlight returns the calls in flight that the balancer counts, by endpoint.
func inFlight(s *fake.Subject) map[string]int64 {
	out := make(map[string]int64)
	for _, e := range s.Channel.Endpoints() {
		out[e.Endpoint.ID()] = e.InFlight
	}
	return out
}
