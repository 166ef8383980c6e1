package policy

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

func TestMergeProperties(t *testing.T) {
	t.Run("Service", func(t *testing.T) { rapid.Check(t, mergeProperties[Service]) })
	t.Run("Method", func(t *testing.T) { rapid.Check(t, mergeProperties[Method]) })
	t.Run("Traits", func(t *testing.T) { rapid.Check(t, mergeProperties[Traits]) })
}

func mergeProperties[T Mergeable](t *rapid.T) {
	a, b, c := drawPolicy[T](t, "a"), drawPolicy[T](t, "b"), drawPolicy[T](t, "c")
	valid(t, a)
	before := [...]map[string]any{plain(Clone(a)), plain(Clone(b)), plain(Clone(c))}

	left, right := Merge(Merge(a, b), c), Merge(a, Merge(b, c))
	if !Equal(left, right) {
		t.Errorf("(a+b)+c = %v\na+(b+c) = %v", plain(left), plain(right))
	}
	valid(t, left)
	if !Equal(Merge(a, a), a) {
		t.Errorf("a+a = %v, a = %v", plain(Merge(a, a)), plain(a))
	}
	if once := Merge(a, b); !Equal(Merge(once, b), once) {
		t.Errorf("(a+b)+b = %v, a+b = %v", plain(Merge(once, b)), plain(once))
	}
	if !Equal(Merge(nil, a), a) || !Equal(Merge(a, nil), a) || !Equal(Merge(a, new(T)), a) || !Equal(Clone(a), a) {
		t.Errorf("nil and the empty policy are no identity for %v", plain(a))
	}

	inputs := make(map[uintptr]bool)
	for i, in := range []*T{a, b, c} {
		if !reflect.DeepEqual(plain(in), before[i]) {
			t.Errorf("input %d was changed from %v to %v", i, before[i], plain(in))
		}
		addresses(reflect.ValueOf(in), inputs)
	}
	outputs := make(map[uintptr]bool)
	for _, out := range []*T{left, right, Clone(a), Complete(b)} {
		addresses(reflect.ValueOf(out), outputs)
	}
	for p := range outputs {
		if inputs[p] {
			t.Errorf("the result shares memory with an input")
		}
	}
}

// TestMergeOfArmsIsAssociative goes through every sequence of three arms, of which the drawn policies hit few: where the
// first and the last are the same and the second is another, the first must not come back.
func TestMergeOfArmsIsAssociative(t *testing.T) {
	arms := []*Service{
		{},
		{ConcurrencyLimit: &ConcurrencyLimit{}, LoadBalancing: &LoadBalancing{}},
		{ConcurrencyLimit: &ConcurrencyLimit{MaxInFlight: Set(3)}, LoadBalancing: &LoadBalancing{Adaptive: &Adaptive{}}},
		{
			ConcurrencyLimit: &ConcurrencyLimit{Adaptive: &AdaptiveLimit{Min: Set(2)}},
			LoadBalancing:    &LoadBalancing{WeightedRoundRobin: &WeightedRoundRobin{Blackout: Set(time.Second)}},
		},
		{
			ConcurrencyLimit: &ConcurrencyLimit{Adaptive: &AdaptiveLimit{Max: Set(9)}},
			LoadBalancing:    &LoadBalancing{WeightedRoundRobin: &WeightedRoundRobin{ErrorPenalty: Set(2.0)}},
		},
	}
	for _, a := range arms {
		for _, b := range arms {
			for _, c := range arms {
				if left, right := Merge(Merge(a, b), c), Merge(a, Merge(b, c)); !Equal(left, right) {
					t.Errorf("(a+b)+c = %v\na+(b+c) = %v", plain(left), plain(right))
				}
			}
		}
	}
}

// TestMergeMatchesProtobuf holds Merge against protobuf's own merge, whose lists append and are therefore cleared first.
func TestMergeMatchesProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPolicy[Service](t, "a"), drawPolicy[Service](t, "b")
		base, over := ServiceToProto(a), ServiceToProto(b)
		clearReplacedLists(base.ProtoReflect(), over.ProtoReflect())
		proto.Merge(base, over)
		want, problems := ServiceFromProto(base)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		if got := Merge(a, b); !Equal(got, want) {
			t.Errorf("got %v\nwant %v", plain(got), plain(want))
		}
	})
}

func clearReplacedLists(base, over protoreflect.Message) {
	over.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			base.Clear(fd)
		case fd.Message() != nil && base.Has(fd):
			clearReplacedLists(base.Mutable(fd).Message(), v.Message())
		}
		return true
	})
}

func TestMerge(t *testing.T) {
	leastRequest := func(d int) *LoadBalancing { return &LoadBalancing{LeastRequest: &LeastRequest{Choices: Set(d)}} }
	for _, tc := range []struct {
		name             string
		base, over, want *Service
	}{{
		name: "both nil",
		want: &Service{},
	}, {
		name: "absent inherits",
		base: &Service{Dial: &Dial{Block: Set(true), MinReady: Set(3)}},
		over: &Service{Dial: &Dial{MinReady: Set(2)}},
		want: &Service{Dial: &Dial{Block: Set(true), MinReady: Set(2)}},
	}, {
		name: "zero is not absent",
		base: &Service{MethodDefaults: &Method{Timeout: &Timeout{Total: Set(time.Second)}, WaitForReady: Set(true)}},
		over: &Service{MethodDefaults: &Method{Timeout: &Timeout{Total: Set(time.Duration(0))}, WaitForReady: Set(false)}},
		want: &Service{MethodDefaults: &Method{Timeout: &Timeout{Total: Set(time.Duration(0))}, WaitForReady: Set(false)}},
	}, {
		name: "a list replaces",
		base: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Internal, codes.Unknown}}},
		over: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Unavailable}}},
		want: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Unavailable}}},
	}, {
		name: "an empty list inherits",
		base: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Internal}}},
		over: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{}}},
		want: &Service{OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Internal}}},
	}, {
		name: "another arm replaces whole, what stands beside it stays",
		base: &Service{LoadBalancing: &LoadBalancing{PeakEwma: &PeakEwma{Decay: Set(time.Second)}, SubsetSize: Set(20)}},
		over: &Service{LoadBalancing: leastRequest(3)},
		want: &Service{LoadBalancing: &LoadBalancing{LeastRequest: &LeastRequest{Choices: Set(3)}, SubsetSize: Set(20)}},
	}, {
		name: "the same arm merges",
		base: &Service{LoadBalancing: leastRequest(3)},
		over: &Service{LoadBalancing: &LoadBalancing{LeastRequest: &LeastRequest{}}},
		want: &Service{LoadBalancing: leastRequest(3)},
	}, {
		name: "an arm that was replaced does not come back",
		base: Merge(&Service{LoadBalancing: leastRequest(3)}, &Service{LoadBalancing: &LoadBalancing{Adaptive: &Adaptive{}}}),
		over: &Service{LoadBalancing: &LoadBalancing{LeastRequest: &LeastRequest{}}},
		want: &Service{LoadBalancing: &LoadBalancing{LeastRequest: &LeastRequest{}}},
	}, {
		name: "a scalar arm replaces a scalar arm",
		base: &Service{MethodDefaults: &Method{Hedging: &Hedging{Delay: Set(time.Second)}}},
		over: &Service{MethodDefaults: &Method{Hedging: &Hedging{DelayQuantile: Set(0.9)}}},
		want: &Service{MethodDefaults: &Method{Hedging: &Hedging{DelayQuantile: Set(0.9)}}},
	}, {
		name: "a message arm replaces a scalar arm",
		base: &Service{ConcurrencyLimit: &ConcurrencyLimit{MaxInFlight: Set(8), MaxQueued: Set(1)}},
		over: &Service{ConcurrencyLimit: &ConcurrencyLimit{Adaptive: &AdaptiveLimit{}}},
		want: &Service{ConcurrencyLimit: &ConcurrencyLimit{Adaptive: &AdaptiveLimit{}, MaxQueued: Set(1)}},
	}, {
		name: "disabled keeps the rest for the level that turns it on again",
		base: &Service{RateLimit: &RateLimit{CallsPerSecond: Set(10.0), Disabled: Set(true)}},
		over: &Service{RateLimit: &RateLimit{Disabled: Set(false)}},
		want: &Service{RateLimit: &RateLimit{CallsPerSecond: Set(10.0), Disabled: Set(false)}},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Merge(tc.base, tc.over); !Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", plain(got), plain(tc.want))
			}
		})
	}
}

func TestEqual(t *testing.T) {
	if !Equal(nil, &Method{}) || !Equal[Method](nil, nil) {
		t.Error("nil does not equal the empty policy")
	}
	if Equal(&Method{Retry: &Retry{}}, &Method{}) {
		t.Error("an empty message, which turns a feature on, equals an absent one")
	}
	if Equal(&Method{WaitForReady: Set(false)}, &Method{}) {
		t.Error("false equals absent")
	}
	if Clone[Method](nil) != nil {
		t.Error("the clone of nil is not nil")
	}
}
