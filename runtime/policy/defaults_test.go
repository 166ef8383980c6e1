package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"
)

func TestCompleteProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawPolicy[Service](t, "v")
		once := Complete(v)
		if twice := Complete(once); !Equal(once, twice) {
			t.Errorf("once %v\ntwice %v", plain(once), plain(twice))
		}
		valid(t, once)
		if kept := Merge(once, v); !Equal(kept, once) {
			t.Errorf("a written value was changed: %v became %v", plain(v), plain(once))
		}
	})
}

// TestCompleteEverything completes a policy with every message in it: whatever has a default tag has a value then.
func TestCompleteEverything(t *testing.T) {
	for typ, s := range schemas {
		v := reflect.New(typ).Elem()
		completeStruct(v, "")
		for i := range s.fields {
			if f := &s.fields[i]; f.def != "" && !isSet(fieldValue(v, f)) {
				t.Errorf("%v.%s has the default %s and is not set", typ, f.name, f.def)
			}
		}
	}
}

func TestComplete(t *testing.T) {
	serverFailures := []codes.Code{codes.Unavailable, codes.Unknown, codes.Internal, codes.DataLoss, codes.DeadlineExceeded, codes.ResourceExhausted}
	got := plain(Complete(&Service{
		OutlierDetection: &OutlierDetection{},
		CircuitBreaker:   &CircuitBreaker{},
		RateLimit:        &RateLimit{CallsPerSecond: Set(0.25)},
		MethodDefaults:   &Method{Retry: &Retry{}, Hedging: &Hedging{}, Timeout: &Timeout{}},
	}))
	for path, want := range map[string]any{
		"load_balancing.adaptive":                  nil,
		"load_balancing.failover.retention":        15 * time.Minute,
		"discovery.empty_grace":                    30 * time.Second,
		"dial.block":                               false,
		"dial.fail_on_permanent_error":             true,
		"connection.connect_backoff.initial":       time.Second,
		"connection.connect_backoff.max":           120 * time.Second,
		"connection.connect_backoff.multiplier":    1.6,
		"retry_budget.ratio":                       0.2,
		"outlier_detection.codes":                  serverFailures,
		"circuit_breaker.codes":                    serverFailures,
		"rate_limit.burst":                         1,
		"method_defaults.retry.codes":              []codes.Code{codes.Unavailable},
		"method_defaults.retry.backoff.initial":    25 * time.Millisecond,
		"method_defaults.retry.backoff.max":        time.Second,
		"method_defaults.retry.backoff.multiplier": 2.0,
		"method_defaults.hedging.delay_quantile":   0.95,
	} {
		if v, ok := got[path]; !ok || !reflect.DeepEqual(v, want) {
			t.Errorf("%s is %v (%v), want %v", path, v, ok, want)
		}
	}
	for _, path := range []string{"target", "connection.keepalive", "health_check", "concurrency_limit", "method_defaults.timeout.total"} {
		if v, ok := got[path]; ok {
			t.Errorf("%s is %v, and has no default", path, v)
		}
	}
	if got := plain(Complete[Method](nil)); len(got) != 1 || got["wait_for_ready"] != false {
		t.Errorf("no method policy is completed to %v", got)
	}
}

func TestCompleteKeepsWhatIsWritten(t *testing.T) {
	got := Complete(&Service{
		LoadBalancing:  &LoadBalancing{Adaptive: &Adaptive{}},
		RateLimit:      &RateLimit{CallsPerSecond: Set(10.0), Burst: Set(3)},
		MethodDefaults: &Method{Hedging: &Hedging{Delay: Set(time.Second)}, Retry: &Retry{Codes: []codes.Code{codes.Aborted}}},
	})
	if got.LoadBalancing.Arm() != "adaptive" || got.LoadBalancing.RoundRobin != nil {
		t.Error("another balancing policy was put beside the written one")
	}
	if *got.RateLimit.Burst != 3 || got.MethodDefaults.Hedging.DelayQuantile != nil || len(got.MethodDefaults.Retry.Codes) != 1 {
		t.Errorf("a default took the place of a written value: %v", plain(got))
	}
}

func TestDefaultsOfOneMessageAreItsOwn(t *testing.T) {
	a, b := Complete(&Service{CircuitBreaker: &CircuitBreaker{}}), Complete(&Service{CircuitBreaker: &CircuitBreaker{}})
	a.CircuitBreaker.Codes[0] = codes.OK
	if b.CircuitBreaker.Codes[0] != codes.Unavailable || failureCodes[0] != codes.Unavailable {
		t.Error("two completed policies share their codes")
	}
}

func TestArm(t *testing.T) {
	if got := (*LoadBalancing)(nil).Arm(); got != "" {
		t.Errorf("nil has the arm %q", got)
	}
	if got := (&LoadBalancing{SubsetSize: Set(2)}).Arm(); got != "" {
		t.Errorf("no arm is called %q", got)
	}
	if got := (&LoadBalancing{WeightedRoundRobin: &WeightedRoundRobin{}}).Arm(); got != "weighted_round_robin" {
		t.Errorf("got %q", got)
	}
}

func TestFormatValue(t *testing.T) {
	for want, v := range map[string]any{
		"{}":                           nil,
		"true":                         true,
		"3":                            3,
		"0.05":                         0.05,
		"1000000000":                   1e9,
		`"a \"b\""`:                    `a "b"`,
		"0s":                           time.Duration(0),
		"250ms":                        250 * time.Millisecond,
		"5m":                           300 * time.Second,
		"1h":                           time.Hour,
		"1h30m":                        90 * time.Minute,
		"1h0m5s":                       time.Hour + 5*time.Second,
		"[UNAVAILABLE, CANCELLED, 77]": []codes.Code{codes.Unavailable, codes.Canceled, 77},
	} {
		if got := FormatValue(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestFieldsStopsEarly(t *testing.T) {
	v := Complete(&Service{MethodDefaults: &Method{Retry: &Retry{}}})
	all := len(plain(v))
	for stop := 1; stop <= all; stop++ {
		seen := 0
		for range Fields(v) {
			if seen++; seen == stop {
				break
			}
		}
		if seen != stop {
			t.Errorf("stopped after %d fields, want %d", seen, stop)
		}
	}
	for path := range Fields((*Service)(nil)) {
		t.Errorf("nil has the field %s", path)
	}
}

func TestValue(t *testing.T) {
	if Value[int](nil) != 0 || Value(Set(3)) != 3 || Value(Set("")) != "" {
		t.Error("Value is not what the pointer points to")
	}
}

func TestScopeOf(t *testing.T) {
	for _, tc := range []struct {
		path  string
		scope string
		start bool
	}{
		{"target", "channel", true},
		{"load_balancing.least_request.choices", "channel", false},
		{"connection.keepalive.time", "channel", true},
		{"dial.timeout", "service", true},
		{"retry_budget", "service", false},
		{"method_defaults.retry.max_attempts", "method", false},
		{"unknown", "method", false},
	} {
		scope, start := ScopeOf(tc.path)
		if scope.String() != tc.scope || start != tc.start {
			t.Errorf("%s: %v, %v, want %s, %v", tc.path, scope, start, tc.scope, tc.start)
		}
	}
}

func TestNotAPolicyType(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "is not a policy type") {
			t.Errorf("recovered %v", r)
		}
	}()
	for range Fields(&struct{ A int }{}) {
	}
}
