package annotation

import (
	"maps"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// at is a location that spans from one line to another, at column 0.
func at(first, last int, path ...int32) location {
	return location{path: path, start: position{first, 0}, end: position{last, 1}}
}

func methodText(locs ...location) optionText {
	return optionText{
		file: "a.proto", message: new(goresilientv1.MethodPolicy).ProtoReflect().Descriptor(),
		locs: locs, element: Place{"a.proto", 1, 1},
	}
}

const (
	timeoutField  = 1
	retryField    = 3
	attemptsField = 2 // of Retry
	codesField    = 4 // of Retry
)

func TestPlaceIsTheMostPreciseKnown(t *testing.T) {
	for _, test := range []struct {
		name string
		locs []location
		path string
		want int // line
	}{
		{"no location at all", nil, "retry", 1},
		{"statement alone", []location{at(4, 9)}, "retry.max_attempts", 5},
		{"field", []location{at(4, 9), at(6, 6, retryField), at(7, 7, retryField, attemptsField)}, "retry.max_attempts", 8},
		{"message around it", []location{at(4, 9), at(6, 6, retryField)}, "retry.max_attempts", 7},
		{"statement of a sibling", []location{at(4, 4, timeoutField, 1), at(5, 5, retryField, attemptsField)}, "retry.backoff", 6},
		{"first of a list", []location{at(4, 4, retryField, codesField, 0), at(5, 5, retryField, codesField, 1)}, "retry.codes", 5},
		{"option as a whole", []location{at(4, 9), at(6, 6, retryField)}, "", 5},
		{"unknown field", []location{at(4, 9), at(6, 6, retryField)}, "retry.nonsense", 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := methodText(test.locs...).place(test.path); got.Line != test.want {
				t.Errorf("%q is placed at %+v, want line %d", test.path, got, test.want)
			}
		})
	}
}

func TestLinesAreThoseOfStatements(t *testing.T) {
	for _, test := range []struct {
		name string
		locs []location
		want policy.Lines
	}{
		{"one statement", []location{at(4, 9)}, policy.Lines{"": 5}},
		{"one statement with leaves", []location{at(4, 9), at(6, 6, retryField), at(6, 6, retryField, attemptsField)}, policy.Lines{"": 5}},
		{
			"statements by field",
			[]location{at(4, 4, timeoutField, 1), at(5, 5, retryField, attemptsField), at(6, 6, retryField, codesField, 0), at(7, 7, retryField, codesField, 1)},
			policy.Lines{"": 5, "timeout": 5, "timeout.total": 5, "retry": 6, "retry.max_attempts": 6, "retry.codes": 7},
		},
		{"aggregate below a field", []location{at(4, 9, retryField), at(5, 5, retryField, attemptsField)}, policy.Lines{"": 5, "retry": 5}},
		{"no location at all", nil, policy.Lines{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := methodText(test.locs...).lines(); !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestCompactLinesKeepsEveryLine(t *testing.T) {
	m := &policy.Method{
		Timeout: &policy.Timeout{Total: policy.Set(time.Second)},
		Retry:   &policy.Retry{MaxAttempts: policy.Set(3), SkipNested: policy.Set(true)},
	}
	lines := policy.Lines{"timeout": 2, "timeout.total": 2, "retry": 3, "retry.max_attempts": 4, "retry.skip_nested": 3}
	got := compactLines(m, lines)
	if want := (policy.Lines{"": 2, "retry": 3, "retry.max_attempts": 4}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for path := range policy.Fields(m) {
		before, _ := nearest(lines, path)
		if after, _ := nearest(got, path); before != after {
			t.Errorf("the line of %s was %d and is %d", path, before, after)
		}
	}
	if got := compactLines(m, nil); got != nil {
		t.Errorf("without positions got %v", got)
	}
}

func TestTwoArms(t *testing.T) {
	const (
		loadBalancing, pickFirst, roundRobin, shuffle = 2, 1, 2, 1
		outlierDetection                              = 3
	)
	for _, test := range []struct {
		name string
		locs []location
		want string
	}{
		{"two arms", []location{at(4, 4, loadBalancing, pickFirst, shuffle), at(5, 5, loadBalancing, roundRobin)},
			"load_balancing.round_robin: stands beside pick_first, and only one of them can hold; remove one"},
		{"one arm in two statements", []location{at(4, 4, loadBalancing, pickFirst), at(5, 5, loadBalancing, pickFirst, shuffle)}, ""},
		{"other fields", []location{at(4, 4, loadBalancing), at(5, 5, outlierDetection, 1), at(6, 6, outlierDetection, 2)}, ""},
		{"list and unknown field", []location{at(4, 4, outlierDetection, 12, 0), at(5, 5, outlierDetection, 12, 1), at(6, 6, 999, 1)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := optionText{message: new(goresilientv1.ServicePolicy).ProtoReflect().Descriptor(), locs: test.locs}
			if got := text.twoArms().Error(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSplitPath(t *testing.T) {
	number := int32(goresilientv1.E_Service.TypeDescriptor().Number())
	for _, test := range []struct {
		name string
		path protoreflect.SourcePath
		want optionKey
		ok   bool
	}{
		{"file", protoreflect.SourcePath{8, number, 1}, optionKey{-1, -1, goresilientv1.E_File.TypeDescriptor().Number()}, true},
		{"service", protoreflect.SourcePath{6, 2, 3, number}, optionKey{2, -1, goresilientv1.E_Service.TypeDescriptor().Number()}, true},
		{"method", protoreflect.SourcePath{6, 2, 2, 5, 4, number}, optionKey{2, 5, goresilientv1.E_Method.TypeDescriptor().Number()}, true},
		{"another option", protoreflect.SourcePath{6, 2, 3, 33}, optionKey{}, false},
		{"a message", protoreflect.SourcePath{4, 2}, optionKey{}, false},
		{"nothing", nil, optionKey{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, ok := splitPath(test.path)
			if ok != test.ok || ok && got != test.want {
				t.Errorf("got %v, %v; want %v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}
