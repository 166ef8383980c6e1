package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// rpcs are all kinds of RPC with what may be done with each.
func rpcs() (all []safetyCase) {
	traits := map[string]*Traits{
		"no traits":                {},
		"idempotent_because":       {IdempotentBecause: Set("the server drops a repeated id")},
		"side_effect_free_because": {SideEffectFreeBecause: Set("it only reads")},
	}
	for _, level := range []Idempotency{IdempotencyUnknown, NoSideEffects, Idempotent} {
		for kind := range 4 {
			for name, tr := range traits {
				r := RPC{Idempotency: level, ClientStreaming: kind&1 != 0, ServerStreaming: kind&2 != 0, Traits: tr}
				if name == "no traits" && kind == 0 {
					r.Traits = nil
				}
				repeatable := level != IdempotencyUnknown || name != "no traits"
				readOnly := level == NoSideEffects || name == "side_effect_free_because"
				all = append(all, safetyCase{
					name:  fmt.Sprintf("%v/client stream %v/server stream %v/%s", level, r.ClientStreaming, r.ServerStreaming, name),
					rpc:   r,
					retry: repeatable,
					hedge: readOnly && kind == 0,
				})
			}
		}
	}
	return all
}

type safetyCase struct {
	name         string
	rpc          RPC
	retry, hedge bool
}

func TestSafety(t *testing.T) {
	policy := &Method{
		Timeout:       &Timeout{Total: Set(time.Second)},
		StreamTimeout: &StreamTimeout{Idle: Set(time.Second)},
		Retry:         &Retry{},
		Hedging:       &Hedging{},
		WaitForReady:  Set(true),
	}
	for _, tc := range rpcs() {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.rpc.MayRetry(); got != tc.retry {
				t.Errorf("MayRetry is %v, want %v", got, tc.retry)
			}
			if got := tc.rpc.MayHedge(); got != tc.hedge {
				t.Errorf("MayHedge is %v, want %v", got, tc.hedge)
			}

			got, held := Withhold(policy, tc.rpc)
			wantHeld := refused(tc)
			for i, w := range held {
				if i >= len(wantHeld) || w.Feature != wantHeld[i] || w.Reason == "" {
					t.Errorf("withheld %v, want %v", held, wantHeld)
				}
			}
			if len(held) != len(wantHeld) || (got.Retry != nil) != tc.retry || (got.Hedging != nil) != tc.hedge {
				t.Errorf("inherited: %v, withheld %v", plain(got), held)
			}
			if stream := tc.rpc.Streaming(); (got.Timeout != nil) == stream || (got.StreamTimeout != nil) != stream {
				t.Errorf("the deadlines of the other kind of RPC are inherited: %v", plain(got))
			}
			if got.WaitForReady == nil || policy.Retry == nil || policy.Timeout == nil {
				t.Error("what is safe was taken away, or the input was changed")
			}

			var paths []string
			for _, p := range CheckWritten(&Method{Retry: policy.Retry, Hedging: policy.Hedging}, tc.rpc) {
				paths = append(paths, p.Path)
			}
			if !slices.Equal(paths, wantHeld) {
				t.Errorf("written: problems at %v, want %v", paths, wantHeld)
			}
			if ps := CheckWritten(got, tc.rpc); ps != nil {
				t.Errorf("what is left after Withhold is refused when written: %v", ps)
			}
		})
	}
}

func refused(tc safetyCase) (features []string) {
	if !tc.retry {
		features = append(features, "retry")
	}
	if !tc.hedge {
		features = append(features, "hedging")
	}
	return features
}

func TestSafetyOfWhatIsTurnedOff(t *testing.T) {
	off := &Method{Retry: &Retry{Disabled: Set(true)}, Hedging: &Hedging{Disabled: Set(true)}}
	for _, tc := range rpcs() {
		if ps := CheckWritten(off, tc.rpc); ps != nil {
			t.Errorf("%s: turning off what is off is refused: %v", tc.name, ps)
		}
		if _, held := Withhold(off, tc.rpc); held != nil {
			t.Errorf("%s: a disabled feature is shown as withheld: %v", tc.name, held)
		}
	}
}

func TestSafetyTexts(t *testing.T) {
	unary, stream := RPC{}, RPC{Idempotency: NoSideEffects, ServerStreaming: true}
	_, held := Withhold(&Method{Retry: &Retry{}, Hedging: &Hedging{}}, unary)
	if got, want := fmt.Sprint(held), "[{retry idempotency_level is IDEMPOTENCY_UNKNOWN} {hedging idempotency_level is IDEMPOTENCY_UNKNOWN}]"; got != want {
		t.Errorf("withheld %s, want %s", got, want)
	}
	if _, held = Withhold(&Method{Hedging: &Hedging{}}, stream); held[0].Reason != "a stream is never hedged" {
		t.Errorf("withheld %v", held)
	}
	if got, held := Withhold(nil, unary); !Equal(got, nil) || held != nil {
		t.Errorf("of nothing, %v stays and %v is withheld", plain(got), held)
	}
	for _, tc := range []struct {
		name string
		m    *Method
		rpc  RPC
		want []string
	}{
		{"nothing", nil, unary, nil},
		{"retry and hedging", &Method{Retry: &Retry{}, Hedging: &Hedging{Disabled: Set(false)}}, unary, []string{
			"retry: the RPC is not safe to repeat, its idempotency_level is IDEMPOTENCY_UNKNOWN; declare it IDEMPOTENT or NO_SIDE_EFFECTS, or say why it is safe in (goresilient.v1.traits).idempotent_because",
			"hedging: the RPC is not safe to send twice at once, its idempotency_level is IDEMPOTENCY_UNKNOWN; declare it NO_SIDE_EFFECTS, or say why it is safe in (goresilient.v1.traits).side_effect_free_because",
		}},
		{"hedging of a stream", &Method{Hedging: &Hedging{}}, stream, []string{"hedging: a stream cannot be hedged; remove it"}},
		{"timeout of a stream", &Method{Timeout: &Timeout{}}, stream, []string{"timeout: bounds unary calls and the RPC is a stream; write stream_timeout"}},
		{"stream_timeout of a unary RPC", &Method{StreamTimeout: &StreamTimeout{}}, unary, []string{"stream_timeout: bounds streams and the RPC is unary; write timeout"}},
	} {
		if got, want := CheckWritten(tc.m, tc.rpc).Error(), strings.Join(tc.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, want)
		}
	}
}
