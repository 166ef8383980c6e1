package policy

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// levels are all of them, lowest first.
var levels = []Level{
	LevelDefault, LevelFile, LevelService, LevelMethod, LevelServiceConfig, LevelOption, LevelOverride, LevelEnvironment,
}

func TestLevelsAreOrdered(t *testing.T) {
	if !slices.IsSorted(levels) {
		t.Error("a higher level has a lower number")
	}
	var words []string
	for _, l := range levels {
		words = append(words, l.String())
	}
	want := []string{"built-in default", "file", "service", "method", "service config", "Go option", "override", "environment"}
	if !slices.Equal(words, want) {
		t.Errorf("got %q, want %q", words, want)
	}
	if got := Level(42).String(); got != "level 42" {
		t.Errorf("got %q", got)
	}
}

// TestPrecedence writes a value at two levels, for every pair of them: the later one wins, and is its origin.
func TestPrecedence(t *testing.T) {
	for i, low := range levels {
		for _, high := range levels[i+1:] {
			stack := Stack{
				{Level: low, Source: "low", Service: methodDefaults(1), Lines: Lines{"method_defaults.timeout": 3}},
				{Level: high, Source: "high", Service: methodDefaults(2), Lines: Lines{"method_defaults.timeout.total": 5}},
			}
			m, origins, _ := stack.Method("Get", RPC{})
			if *m.Timeout.Total != 2 || origins["timeout.total"] != (Origin{high, "high", 5}) {
				t.Errorf("%v over %v: got %v from %v", high, low, *m.Timeout.Total, origins["timeout.total"])
			}
			s, origins := stack.Service()
			if *s.MethodDefaults.Timeout.Total != 2 || origins["method_defaults.timeout.total"].Level != high {
				t.Errorf("%v over %v: got %v from %v", high, low, plain(s), origins)
			}
		}
	}
}

func methodDefaults(total time.Duration) *Service {
	return &Service{MethodDefaults: &Method{Timeout: &Timeout{Total: &total}}}
}

func TestStackMethod(t *testing.T) {
	file := Layer{
		Level: LevelFile, Source: "a.proto",
		Service: &Service{MethodDefaults: &Method{Retry: &Retry{MaxAttempts: Set(2)}, Timeout: &Timeout{Total: Set(time.Second)}}},
		Lines:   Lines{"": 4},
	}
	method := Layer{
		Level: LevelMethod, Source: "a.proto",
		Methods:     map[string]*Method{"Get": {Timeout: &Timeout{Total: Set(2 * time.Second), PerAttempt: Set(time.Second)}}},
		MethodLines: map[string]Lines{"Get": {"timeout": 30}},
	}
	override := Layer{
		Level: LevelOverride, Source: "o.yaml",
		Service: &Service{MethodDefaults: &Method{Timeout: &Timeout{Total: Set(3 * time.Second)}}},
		Methods: map[string]*Method{"Get": {Retry: &Retry{MaxAttempts: Set(5)}}},
	}
	stack := Stack{file, method, override}

	for _, tc := range []struct {
		name, method string
		rpc          RPC
		want         map[string]string
		held         int
	}{
		{"a safe RPC", "Get", RPC{Idempotency: Idempotent}, map[string]string{
			"retry":               "override, o.yaml",
			"retry.max_attempts":  "override, o.yaml",
			"timeout":             "override, o.yaml",
			"timeout.total":       "override, o.yaml",
			"timeout.per_attempt": "method, a.proto:30",
		}, 0},
		{"an unsafe RPC", "Get", RPC{}, map[string]string{
			"timeout":             "override, o.yaml",
			"timeout.total":       "override, o.yaml",
			"timeout.per_attempt": "method, a.proto:30",
		}, 1},
		{"a stream", "Get", RPC{Idempotency: Idempotent, ServerStreaming: true}, map[string]string{
			"retry":              "override, o.yaml",
			"retry.max_attempts": "override, o.yaml",
		}, 0},
		{"an RPC that is not named", "List", RPC{Idempotency: Idempotent}, map[string]string{
			"retry":              "file, a.proto:4",
			"retry.max_attempts": "file, a.proto:4",
			"timeout":            "override, o.yaml",
			"timeout.total":      "override, o.yaml",
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, origins, held := stack.Method(tc.method, tc.rpc)
			got := make(map[string]string)
			for path, o := range origins {
				got[path] = o.String()
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if len(held) != tc.held {
				t.Errorf("withheld %v, want %d", held, tc.held)
			}
		})
	}
}

func TestStackDropsOriginsOfReplacedArms(t *testing.T) {
	arm := func(lb *LoadBalancing) *Service { return &Service{LoadBalancing: lb} }
	s, origins := Stack{
		{Level: LevelFile, Service: arm(&LoadBalancing{PeakEwma: &PeakEwma{Decay: Set(time.Second)}})},
		{Level: LevelService, Service: arm(&LoadBalancing{LeastRequest: &LeastRequest{Choices: Set(3)}})},
	}.Service()
	want := Origins{
		"load_balancing":                       {Level: LevelService},
		"load_balancing.least_request":         {Level: LevelService},
		"load_balancing.least_request.choices": {Level: LevelService},
	}
	if !maps.Equal(origins, want) {
		t.Errorf("got %v, want %v", origins, want)
	}
	if s.LoadBalancing.Arm() != "least_request" {
		t.Errorf("the arm is %s", s.LoadBalancing.Arm())
	}
	if s, origins := (Stack{}).Service(); !Equal(s, nil) || len(origins) != 0 {
		t.Errorf("an empty stack has %v from %v", plain(s), origins)
	}
}

func TestOriginString(t *testing.T) {
	for want, o := range map[string]Origin{
		"built-in default":      {},
		"Go option":             {Level: LevelOption},
		"service, a.proto":      {Level: LevelService, Source: "a.proto"},
		"service, a.proto:14":   {Level: LevelService, Source: "a.proto", Line: 14},
		"environment, MY_VAR:2": {Level: LevelEnvironment, Source: "MY_VAR", Line: 2},
	} {
		if got := o.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
