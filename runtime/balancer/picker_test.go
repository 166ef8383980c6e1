package balancer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/policy"
)

// withDetection turns outlier detection on, by failures in a row, with the codes given or those of the policy.
func withDetection(cfg Config, failing ...codes.Code) Config {
	cfg.OutlierDetection = &policy.OutlierDetection{ConsecutiveFailures: policy.Set(3), Codes: failing}
	return cfg
}

// Whatever happens, nothing stays in flight, the failures in a row are those of a naive count, and a call whose attempts have not
// been everywhere goes where they were not.
func TestPickerHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := rapid.SampledFrom(pooled).Draw(rt, "policy")
		detects := rapid.Bool().Draw(rt, "detects")
		if detects {
			cfg = withDetection(cfg)
		}
		tiers := rapid.IntRange(1, 3).Draw(rt, "tiers")
		n := rapid.IntRange(tiers, 12).Draw(rt, "endpoints")
		s := newScene(rapid.Uint64().Draw(rt, "seed"), cfg, n, tiers, rapid.SliceOfN(rapid.Uint32Range(1, 9), 0, n).Draw(rt, "weights")...)
		s.Record(true)
		for _, e := range s.endpoints {
			if rapid.IntRange(0, 3).Draw(rt, "partial") == 0 {
				e.load.share.Store(rapid.Uint32().Draw(rt, "share"))
			}
		}
		s.publish(tiers)

		type running struct {
			at   int
			done func(balancer.DoneInfo)
		}
		var open []running
		streaks := make([]uint32, n)
		end := func(i int) {
			c := open[i]
			open = slices.Delete(open, i, i+1)
			info := rapid.SampledFrom([]balancer.DoneInfo{succeeded, failed, cancelled, notReached}).Draw(rt, "end")
			c.done(info)
			switch {
			case info.Err == nil && info.BytesReceived:
				streaks[c.at] = 0
			case info.Err != nil && info.BytesReceived:
				streaks[c.at]++
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			s.pass(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(rt, "pause")))
			if len(open) > 0 && rapid.Bool().Draw(rt, "ends") {
				end(rapid.IntRange(0, len(open)-1).Draw(rt, "which"))
				continue
			}
			if rapid.IntRange(0, 3).Draw(rt, "without record") == 0 {
				at, done := s.pick(t, context.Background())
				open = append(open, running{at, done})
				continue
			}
			call, been := new(attempts), make(map[int]bool)
			for range rapid.IntRange(1, 5).Draw(rt, "attempts") {
				ctx, rec := nextAttempt(call, s.Channel)
				at, done := s.pick(t, ctx)
				if been[at] && len(been) < n {
					rt.Fatalf("%s: an attempt goes to %d again, after %v of %d", cfg.arm(), at, been, n)
				}
				if rec.Endpoint() != attempt.Endpoint(s.endpoints[at]) {
					rt.Fatalf("the record says %v", rec.Endpoint())
				}
				been[at] = true
				open = append(open, running{at, done})
			}
		}
		counts := cfg.level() >= counted
		if got := s.inFlight(); counts && got != int64(len(open)) {
			rt.Fatalf("%d in flight, want %d", got, len(open))
		}
		for len(open) > 0 {
			end(0)
		}
		if got := s.inFlight(); got != 0 {
			rt.Fatalf("%d in flight after all calls", got)
		}
		for i, e := range s.endpoints {
			if got := e.load.streak.Load(); detects && got != streaks[i] {
				rt.Fatalf("%d failures in a row at %d, want %d", got, i, streaks[i])
			}
		}
	})
}

// Every endpoint is picked in the end, while calls succeed equally fast everywhere.
func TestPickerReachesEveryEndpoint(t *testing.T) {
	for _, cfg := range pooled {
		for _, n := range []int{1, 2, 3, 5, 6, 40} {
			s := newScene(uint64(n), cfg, n, 1)
			got := s.run(t, 10*time.Millisecond, 0, 20*time.Second, func(int, time.Duration) simulated {
				return simulated{25 * time.Millisecond, succeeded}
			})
			if slices.Contains(got, 0) {
				t.Errorf("%s over %d endpoints: some are never picked: %v", cfg.arm(), n, got)
			}
		}
	}
}

// Equal servers get equal shares, within what chance does: round_robin to one call, the others to a quarter.
func TestPickerSpreadsEvenly(t *testing.T) {
	const n, calls = 20, 40_000
	for _, cfg := range pooled {
		s := newScene(1, cfg, n, 1)
		got := s.run(t, time.Millisecond, 0, calls*time.Millisecond, func(int, time.Duration) simulated {
			return simulated{20 * time.Millisecond, succeeded}
		})
		mean, most := float64(calls)/n, 0.25
		if cfg.arm() == armRoundRobin {
			most = 1 / mean
		}
		for i, c := range got {
			if math.Abs(float64(c)/mean-1) > most {
				t.Errorf("%s: endpoint %d has %d calls, the mean is %.0f", cfg.arm(), i, c, mean)
			}
		}
	}
}

// Calls are shared out by weight, where calls take as long in proportion.
func TestPickerFollowsWeights(t *testing.T) {
	weights := []uint32{1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3}
	for _, cfg := range comparing {
		s := newScene(1, cfg, len(weights), 1, weights...)
		got := s.run(t, time.Millisecond, 0, 40*time.Second, func(i int, _ time.Duration) simulated {
			return simulated{60 * time.Millisecond, succeeded}
		})
		light, heavy := 0, 0
		for i, c := range got {
			if weights[i] == 1 {
				light += c
			} else {
				heavy += c
			}
		}
		if ratio := float64(heavy) / float64(light); ratio < 2.4 || ratio > 3.6 {
			t.Errorf("%s: the heavy ones have %.2f times the calls of the light ones, want about 3", cfg.arm(), ratio)
		}
	}
}

// An endpoint with a small share is picked as much less often, and is picked.
func TestPickerFollowsShares(t *testing.T) {
	const n, calls, share = 10, 20_000, 0.1
	for _, cfg := range append(slices.Clone(pooled), leastRequestConfig(10)) {
		if cfg.arm() == armAdaptive || cfg.arm() == armPeakEwma {
			continue // they prefer by latency as well; see below
		}
		s := newScene(1, cfg, n, 1)
		s.endpoints[0].load.share.Store(fullShare / 10)
		s.publish(1)
		got := 0
		for range calls {
			i, done := s.pick(t, t.Context())
			done(succeeded)
			if i == 0 {
				got++
			}
		}
		want := share / (n - 1 + share) * calls
		if float64(got) < 0.6*want || float64(got) > 1.5*want {
			t.Errorf("%s: %d of %d calls, want about %.0f", cfg.arm(), got, calls, want)
		}
	}
	for _, cfg := range []Config{adaptiveConfig(), peakEwmaConfig(time.Second)} {
		s := newScene(1, cfg, n, 1)
		s.endpoints[0].load.share.Store(fullShare / 10)
		s.publish(1)
		got := s.run(t, 5*time.Millisecond, 0, 100*time.Second, func(int, time.Duration) simulated {
			return simulated{20 * time.Millisecond, succeeded}
		})
		if got[0] < 20 || got[0] > calls/n/3 {
			t.Errorf("%s: %d of %d calls", cfg.arm(), got[0], calls)
		}
	}
}

func TestTiersHaveTheirShares(t *testing.T) {
	s := newScene(1, leastRequestConfig(2), 8, 2)
	p := s.picker.(*picker)
	p.tiers[0].share, p.tiers[1].share = 0.8, 0.2
	rules := p.rule.(*tiered).rules
	p.rule = newTiered(p.tiers, rules, s.opts.Rand)
	first := 0
	for range 20_000 {
		if i, done := s.pick(t, t.Context()); i < 4 {
			first++
			done(succeeded)
		} else {
			done(succeeded)
		}
	}
	if first < 15_700 || first > 16_300 {
		t.Errorf("the first tier has %d of 20000 calls, want 16000", first)
	}
}

func TestPickerAsksTheGate(t *testing.T) {
	refused := status.Error(codes.Unavailable, "no more")
	for _, cfg := range pooled {
		s := newScene(1, cfg, 3, 1)
		ctx, rec := nextAttempt(new(attempts), s.Channel)
		var asked []int
		rec.Stream = &attempt.Stream{Gate: func(picks int) error {
			asked = append(asked, picks)
			if picks > 1 {
				return refused
			}
			return nil
		}}
		pick := func() (func(balancer.DoneInfo), error) {
			res, err := s.picker.Pick(balancer.PickInfo{Ctx: ctx})
			return res.Done, err
		}
		if done, err := pick(); err != nil || done != nil && len(asked) > 0 {
			t.Fatalf("%s: without records: %v, asked %v", cfg.arm(), err, asked)
		}
		s.Record(true)
		for _, end := range []balancer.DoneInfo{notReached, {Err: errors.New("drained")}, succeeded, failed} {
			done, err := pick()
			if err != nil {
				t.Fatal(err)
			}
			done(end)
		}
		if _, err := pick(); !errors.Is(err, refused) {
			t.Errorf("%s: error = %v, want %v", cfg.arm(), err, refused)
		}
		if want := []int{0, 0, 0, 1, 2}; !slices.Equal(asked, want) {
			t.Errorf("%s: asked %v, want %v: a pick that reached no server does not count", cfg.arm(), asked, want)
		}
		if rec.Stream.Last() != failed.Err {
			t.Errorf("%s: last error = %v, want %v", cfg.arm(), rec.Stream.Last(), failed.Err)
		}
	}
}

func TestOutcomes(t *testing.T) {
	err := func(c codes.Code) error { return status.Error(c, "") }
	trailer := metadata.Pairs("a", "b")
	both := withDetection(roundRobinConfig(), codes.Canceled, codes.Unavailable)
	tests := []struct {
		name       string
		cfg        Config
		info       balancer.DoneInfo
		fromServer bool
		want       outcome
	}{
		{"success", roundRobinConfig(), succeeded, false, success},
		{"no connection any more", roundRobinConfig(), notReached, false, neutral},
		{"the stream had ended when a message was sent", roundRobinConfig(), balancer.DoneInfo{BytesSent: true}, false, neutral},
		{"unavailable", roundRobinConfig(), failed, false, failure},
		{"connection drained before the call began", roundRobinConfig(), balancer.DoneInfo{Err: err(codes.Unavailable)}, false, neutral},
		{"credentials refused by the client itself", roundRobinConfig(), balancer.DoneInfo{Err: err(codes.Unauthenticated)}, false, success},
		{"deadline without an answer", roundRobinConfig(), balancer.DoneInfo{Err: err(codes.DeadlineExceeded), BytesSent: true}, false, failure},
		{"an answer of the application", roundRobinConfig(), balancer.DoneInfo{Err: err(codes.NotFound), BytesSent: true, BytesReceived: true}, true, success},
		{"no status", roundRobinConfig(), balancer.DoneInfo{Err: errors.New("x"), BytesSent: true}, false, failure},
		{"cancelled by the caller", both, cancelled, false, neutral},
		{"cancelled by the server, listed", both, cancelled, true, failure},
		{"cancelled with trailers, listed", both, balancer.DoneInfo{Err: err(codes.Canceled), BytesSent: true, Trailer: trailer}, false, failure},
		{"cancelled by the server, not listed", roundRobinConfig(), cancelled, true, neutral},
		{"a code that is not listed", both, balancer.DoneInfo{Err: err(codes.Internal), BytesSent: true}, true, success},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.cfg.judge().of(&tt.info, tt.fromServer); got != tt.want {
				t.Errorf("outcome = %v, want %v", got, tt.want)
			}
		})
	}
}

// Where the policy counts CANCELED, a pick knows its context, and with it who has cancelled.
func TestCancelledByWhom(t *testing.T) {
	for _, cfg := range pooled {
		s := newScene(1, withDetection(cfg, codes.Canceled), 1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		_, done := s.pick(t, ctx)
		done(cancelled)
		if got := s.endpoints[0].load.streak.Load(); got != 1 {
			t.Errorf("%s: %d failures after the server cancelled, want 1", cfg.arm(), got)
		}
		_, done = s.pick(t, ctx)
		cancel()
		done(cancelled)
		if got := s.endpoints[0].load.streak.Load(); got != 1 {
			t.Errorf("%s: %d failures after the caller cancelled, want 1", cfg.arm(), got)
		}
	}
}

// Failures in a row are told at once, and again after as many more.
func TestFailuresInARowAreTold(t *testing.T) {
	for _, cfg := range pooled {
		s := newScene(1, withDetection(cfg), 1, 1)
		told := 0
		s.suspect = func(e *endpoint) {
			if e != s.endpoints[0] {
				t.Error("told of another endpoint")
			}
			told++
		}
		for i, want := range []int{0, 0, 1, 1, 1, 2} {
			_, done := s.pick(t, t.Context())
			done(failed)
			if told != want {
				t.Errorf("%s: told %d times after %d failures, want %d", cfg.arm(), told, i+1, want)
			}
		}
	}
}

func TestPicksDoNotAllocate(t *testing.T) {
	for _, cfg := range append(slices.Clone(pooled), withDetection(adaptiveConfig()), withDetection(roundRobinConfig())) {
		for _, n := range []int{1, 4, 30} {
			s := newScene(1, cfg, n, 1)
			ctx, _ := nextAttempt(new(attempts), s.Channel)
			for _, records := range []bool{false, true} {
				s.Record(records)
				info := balancer.PickInfo{Ctx: ctx}
				if got := testing.AllocsPerRun(200, func() {
					s.pass(time.Millisecond)
					res, err := s.picker.Pick(info)
					if err != nil {
						t.Fatal(err)
					}
					if res.Done != nil {
						res.Done(succeeded)
					}
				}); got != 0 {
					t.Errorf("%s over %d endpoints, records %t: %v allocations", cfg.arm(), n, records, got)
				}
			}
		}
	}
}

// Picks, ends of calls, new pickers and new shares may come at the same time.
func TestPickersRunConcurrently(t *testing.T) {
	for _, cfg := range pooled {
		s := newScene(1, withDetection(cfg), 9, 2, 1, 2, 3)
		var clock atomic.Int64
		s.opts.Now = func() int64 { return clock.Add(int64(100 * time.Microsecond)) }
		s.opts.Rand = rand.Uint64
		s.Record(true)
		s.publish(2)
		var picker atomic.Pointer[balancer.Picker]
		first := s.picker // publish writes to the field
		picker.Store(&first)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var open []func(balancer.DoneInfo)
				for i := range 3000 {
					ctx, _ := nextAttempt(new(attempts), s.Channel)
					if i%2 == 0 {
						ctx = context.Background()
					}
					res, err := (*picker.Load()).Pick(balancer.PickInfo{Ctx: ctx})
					if err != nil {
						t.Error(err)
						return
					}
					if open = append(open, res.Done); len(open) > 5 {
						open[0]([]balancer.DoneInfo{succeeded, failed, cancelled, notReached}[i%4])
						open = open[1:]
					}
				}
				for _, done := range open {
					done(succeeded)
				}
			})
		}
		for i := range uint32(100) {
			s.endpoints[i%9].load.share.Store(fullShare - i%2*fullShare/2)
			s.publish(2)
			fresh := s.picker
			picker.Store(&fresh)
		}
		wg.Wait()
		if n := s.inFlight(); n != 0 {
			t.Errorf("%s: %d calls in flight after all", cfg.arm(), n)
		}
	}
}

// A new weight counts from the update on that brings it, and equal weights are no weights.
func TestWeightsOfAnUpdateCount(t *testing.T) {
	for _, choices := range []int{2, 5} {
		r := newRig(t, leastRequestConfig(choices))
		share := func(weight uint32) float64 {
			r.sites(site{addr: "a", weight: weight}, site{addr: "b"}, site{addr: "c"}, site{addr: "d"})
			bringUp(r.cc)
			r.time.fire()
			return float64(r.picks(20_000)["a"]) / 20_000
		}
		for weight, want := range map[uint32]float64{1: 0.25, 9: 0.75} {
			if got := share(weight); math.Abs(got-want) > 0.02 {
				t.Errorf("%d choices: with weight %d of 3 more its share is %.3f, want %.2f", choices, weight, got, want)
			}
		}
	}
}
