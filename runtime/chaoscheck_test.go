package goresilient_test

import (
	"context"
	"errors"
	"math"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
)

// checkBudgets checks the extra attempts of the whole run, which may be longer than the window of the budget: in each window
// there are at most so many.
func (run *chaosRun) checkBudgets(took time.Duration) {
	run.mu.Lock()
	defer run.mu.Unlock()
	p, calls := run.policy, float64(run.tally.Calls)
	if p.hedgeRatio > 0 && float64(run.tally.Hedges) > p.hedgeRatio*calls {
		run.errorf("%d hedges of %v calls, of which max_extra_ratio allows %v", run.tally.Hedges, calls, p.hedgeRatio)
	}
	if p.budgetOff {
		return
	}
	windows := math.Ceil(float64(took) / float64(p.window))
	if extra := float64(run.tally.Hedges + run.tally.Retries); extra > p.ratio*calls+windows*p.least*p.window.Seconds() {
		run.errorf("%v extra attempts of %v calls in %v, more than the budget of %v, and %v a second over %v", extra, calls, took, p.ratio, p.least, p.window)
	}
}

// checkAttempts checks that servers have seen what the client sent, and no more: each attempt once at most.
func (run *chaosRun) checkAttempts() {
	run.log.mu.Lock()
	defer run.log.mu.Unlock()
	sent := 0
	for _, n := range run.attempts {
		sent += n
	}
	for name, n := range run.log.calls {
		if n > 1 {
			run.errorf("attempt %s came to handlers %d times", name, n)
		}
	}
	if seen := len(run.log.calls); seen > sent {
		run.errorf("servers have seen %d attempts, of %d that were sent", seen, sent)
	}
}

// recover heals everything, and checks that calls succeed again.
func (run *chaosRun) recover() {
	for _, s := range run.servers {
		s.mood.Store(int32(healthy))
	}
	run.network.heal()
	call := func() error {
		time.Sleep(time.Second)
		_, err := run.client.unaryCall.Call(context.Background(), &grpc_testing.SimpleRequest{}, goresilient.CallTimeout(time.Second))
		return err
	}
	for range 20 { // the windows of all guards pass, ejections end, probes succeed
		_ = call()
	}
	for range 3 {
		err := call()
		if err != nil && run.aging {
			// Where a server ends a connection by its age just as a call begins, grpc's plain client may have the call wait
			// until the connection is gone. It happens to one in some ten thousand calls, and not to the next one.
			err = call()
		}
		if err != nil {
			run.errorf("long after everything was healed: %v", err)
		}
	}
}

// checkNothingRuns checks that all calls have come back from everywhere.
func (run *chaosRun) checkNothingRuns() {
	synctest.Wait()
	s := run.client.Snapshot()
	if s.Running != 0 {
		run.errorf("%d calls are counted as running", s.Running)
	}
	for _, e := range s.Endpoints {
		if e.InFlight != 0 {
			run.errorf("%d calls are counted in flight at %s", e.InFlight, e.Endpoint)
		}
	}
	if n := goresilient.PermitsHeld(run.client.Client); n != 0 {
		run.errorf("%d permits of concurrency limits are held", n)
	}
}

// judge checks the end of a call that had limit, after which its deadline came or its caller gave up.
func (run *chaosRun) judge(id string, err error, took, limit time.Duration, cancelled bool) {
	if took > limit {
		run.errorf("call %s ended after %v, its deadline was %v: %v", id, took, limit, err)
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.tally.Calls++
	switch code := status.Code(err); code {
	case codes.OK:
		run.tally.Answered++
	case codes.Canceled:
		run.tally.Cancelled++
		if !cancelled && !run.closing {
			run.errorf("call %s ended with %v, and nobody cancelled it", id, err)
		}
	case codes.DeadlineExceeded:
		run.tally.Late++
		early := took < limit-deadlineSlack && !cancelled && run.policy.perAttempt == 0 && run.policy.method.StreamTimeout.Idle == nil
		if early {
			run.errorf("call %s ended after %v of %v with %v", id, took, limit, err)
		}
	case codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.NotFound:
		run.tally.Failed++
	default:
		run.errorf("call %s ended with %v", id, err)
	}
	if r := refusal(err); r != nil {
		run.tally.Refused++
		if !run.policy.mayRefuse[r.Guard] {
			run.errorf("call %s was refused by a guard that may not: %v", id, err)
		}
	}
}

// checkError checks what the error of a call tells of its attempts.
func (run *chaosRun) checkError(id string, err error, streams bool) {
	var call *goresilient.CallError
	if !errors.As(err, &call) {
		return
	}
	most := run.policy.attempts
	if streams && len(call.Attempts) > 1 && call.Attempts[0].Code == codes.Unavailable {
		most++ // grpc repeats, once, what its first server has said not to have begun with
	}
	if n := len(call.Attempts); n == 0 || n > most || call.Stopped == "" {
		run.errorf("call %s ended with %+v", id, call)
	}
}

// deadlineSlack is how much earlier than its client a server may answer that the time is up.
const deadlineSlack = 10 * ms

// chaosTally is what has come of all calls.
type chaosTally struct {
	Calls, Answered, Failed, Refused, Cancelled, Late, Retries, Hedges, Streams int
}

func (t *chaosTally) add(o chaosTally) {
	t.Calls += o.Calls
	t.Answered += o.Answered
	t.Failed += o.Failed
	t.Refused += o.Refused
	t.Cancelled += o.Cancelled
	t.Late += o.Late
	t.Retries += o.Retries
	t.Hedges += o.Hedges
	t.Streams += o.Streams
}
