package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   *Service
		want string
	}{
		{"nil", nil, ""},
		{"empty", &Service{}, ""},
		{"several, in the order of the fields", &Service{
			Target:    Set(""),
			Dial:      &Dial{MinReady: Set(0)},
			Discovery: &Discovery{MaxRemovedRatio: Set(0.0)},
		}, `target: is empty; write a value, or leave the field out to inherit
discovery.max_removed_ratio: 0 is out of range; write a number more than 0 and at most 1
dial.min_ready: 0 is out of range; write a number from 1 to 1000000`},
		{"0 or more than 1", &Service{OutlierDetection: &OutlierDetection{LatencyFactor: Set(0.5)}},
			"outlier_detection.latency_factor: 0.5 is out of range; write a number that is 0, or more than 1 and at most 1000"},
		{"0 of 0 or more than 1", &Service{OutlierDetection: &OutlierDetection{LatencyFactor: Set(0.0)}}, ""},
		{"upper case in a header", &Service{LoadBalancing: &LoadBalancing{ConsistentHash: &ConsistentHash{Header: Set("X-User")}}},
			`load_balancing.consistent_hash.header: "X-User" has upper-case letters, which gRPC metadata keys never have; write "x-user"`},
		{"a header that cannot be", &Service{LoadBalancing: &LoadBalancing{ConsistentHash: &ConsistentHash{Header: Set("user id")}}},
			`load_balancing.consistent_hash.header: "user id" is no gRPC metadata key; write lower-case letters, digits, "-", "_" and "."`},
		{"authority", &Service{Connection: &Connection{Authority: Set("a b;c")}},
			`connection.authority: "a b;c" is no authority; write a host or host:port, such as "inventory.internal:443"`},
		{"authority with a path", &Service{Connection: &Connection{Authority: Set("dns:///a:443")}},
			`connection.authority: "dns:///a:443" is no authority; write a host or host:port, such as "inventory.internal:443"`},
		{"authority with a port that is none", &Service{Connection: &Connection{Authority: Set("a:http")}},
			`connection.authority: "a:http" is no authority; write a host or host:port, such as "inventory.internal:443"`},
		{"authorities", &Service{Connection: &Connection{Authority: Set("a-b.c_d")}}, ""},
		{"authority with a port", &Service{Connection: &Connection{Authority: Set("10.0.0.1:443")}}, ""},
		{"authority of IPv6", &Service{Connection: &Connection{Authority: Set("[fe80::1%25eth0]:443")}}, ""},
		{"authority of a socket, as gRPC has it", &Service{Connection: &Connection{Authority: Set("%2Fvar%2Fs.sock")}}, ""},
		{"compressor", &Service{MethodDefaults: &Method{Compressor: Set("gz ip")}},
			`method_defaults.compressor: "gz ip" is no name of an encoding; write one without spaces and separators, such as "gzip"`},
		{"compressor of several", &Service{MethodDefaults: &Method{Compressor: Set("gzip,zstd")}},
			`method_defaults.compressor: "gzip,zstd" is no name of an encoding; write one without spaces and separators, such as "gzip"`},
		{"compressors", &Service{MethodDefaults: &Method{Compressor: Set("x-snappy.v2")}}, ""},
		{"not JSON", &Service{LoadBalancing: &LoadBalancing{Custom: &Custom{Name: Set("x"), ConfigJSON: Set("{")}}},
			`load_balancing.custom.config_json: "{" is not a JSON object; write one, such as {}`},
		{"JSON that is no object", &Service{LoadBalancing: &LoadBalancing{Custom: &Custom{Name: Set("x"), ConfigJSON: Set("null")}}},
			`load_balancing.custom.config_json: "null" is not a JSON object; write one, such as {}`},
		{"custom without a name", &Service{LoadBalancing: &LoadBalancing{Custom: &Custom{Name: Set("")}}},
			"load_balancing.custom.name: is missing; write the name under which the policy is registered with grpc"},
		{"the server as a whole", &Service{HealthCheck: &HealthCheck{ServiceName: Set("")}}, ""},
		{"two arms", &Service{MethodDefaults: &Method{Hedging: &Hedging{Delay: Set(time.Second), DelayQuantile: Set(0.9)}}},
			"method_defaults.hedging.delay_quantile: stands beside delay, and only one of them can hold; remove one"},
		{"codes", &Service{MethodDefaults: &Method{Retry: &Retry{Codes: []codes.Code{codes.OK, codes.Aborted, codes.Aborted, 17}}}},
			`method_defaults.retry.codes: OK is never a failure; remove it
method_defaults.retry.codes: ABORTED stands there twice; remove one
method_defaults.retry.codes: 17 is no gRPC code; write a name such as UNAVAILABLE`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Validate(tc.in).Error(); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	if got, want := Validate(&Traits{IdempotentBecause: Set("  ")}).Error(), `idempotent_because: "  " gives no reason; say in words why it is safe`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestEveryRangeIsHeldTo puts a value outside of its range into every field that has one.
func TestEveryRangeIsHeldTo(t *testing.T) {
	for typ, s := range schemas {
		for i := range s.fields {
			f := &s.fields[i]
			bad, ok := badValue(f)
			if !ok {
				continue
			}
			v := reflect.New(typ).Elem()
			p := reflect.New(f.elem)
			p.Elem().Set(reflect.ValueOf(bad).Convert(f.elem))
			fieldValue(v, f).Set(p)
			var ps Problems
			validateStruct(v, "", &ps)
			if len(ps) != 1 || ps[0].Path != f.name || !strings.Contains(ps[0].Text, "is out of range; write a ") {
				t.Errorf("%v.%s = %v: %v", typ, f.name, bad, ps)
			}
		}
	}
}

func TestValidateEffective(t *testing.T) {
	breaker := &CircuitBreaker{SlowCallRatio: Set(0.5), OpenDuration: Set(2 * time.Minute)}
	for _, tc := range []struct {
		name string
		in   *Service
		want string
	}{
		{"nil", nil, ""},
		{"the defaults", Complete[Service](nil), ""},
		{"outlier detection", &Service{OutlierDetection: &OutlierDetection{BaseEjectionTime: Set(10 * time.Minute)}},
			"outlier_detection.max_ejection_time: the default 5m is less than base_ejection_time, 10m; write at least that"},
		{"outlier detection that is off", &Service{OutlierDetection: &OutlierDetection{BaseEjectionTime: Set(10 * time.Minute), Disabled: Set(true)}}, ""},
		{"keepalive", &Service{Connection: &Connection{Keepalive: &Keepalive{}}},
			`connection.keepalive.time: is missing; write the time without activity after which to ping, such as "30s"`},
		{"keepalive that is off", &Service{Connection: &Connection{Keepalive: &Keepalive{Disabled: Set(true)}}}, ""},
		{"connect backoff", &Service{Connection: &Connection{ConnectBackoff: &Backoff{Initial: Set(3 * time.Second), Max: Set(2 * time.Second)}}},
			"connection.connect_backoff.max: 2s is less than initial, 3s; write at least that"},
		{"connect backoff below the default", &Service{Connection: &Connection{ConnectBackoff: &Backoff{Max: Set(time.Millisecond)}}},
			"connection.connect_backoff.max: 1ms is less than initial, the default 1s; write at least that"},
		{"retry backoff", &Service{MethodDefaults: &Method{Retry: &Retry{Backoff: &Backoff{Max: Set(time.Millisecond)}}}},
			"method_defaults.retry.backoff.max: 1ms is less than initial, the default 25ms; write at least that"},
		{"two ready with pick_first", &Service{Dial: &Dial{MinReady: Set(2)}, LoadBalancing: &LoadBalancing{PickFirst: &PickFirst{}}},
			"dial.min_ready: 2 endpoints can never be ready with pick_first, which connects to one; write 1 or another load_balancing policy"},
		{"one ready with pick_first", &Service{Dial: &Dial{MinReady: Set(1)}, LoadBalancing: &LoadBalancing{PickFirst: &PickFirst{}}}, ""},
		{"two ready with custom", &Service{Dial: &Dial{MinReady: Set(2)}, LoadBalancing: &LoadBalancing{Custom: &Custom{Name: Set("rls")}}},
			`dial.min_ready: 2 endpoints cannot be counted with the custom policy "rls"; write 1`},
		{"more ready than the subset has", &Service{Dial: &Dial{MinReady: Set(5)}, LoadBalancing: &LoadBalancing{SubsetSize: Set(3)}},
			"dial.min_ready: 5 endpoints can never be ready with a subset_size of 3; write at most 3, or a subset_size of at least 5"},
		{"as many ready as the subset has", &Service{Dial: &Dial{MinReady: Set(3)}, LoadBalancing: &LoadBalancing{SubsetSize: Set(3)}}, ""},
		{"min_ready alone", &Service{Dial: &Dial{MinReady: Set(3)}}, ""},
		{"guards of the service", &Service{CircuitBreaker: breaker, ConcurrencyLimit: &ConcurrencyLimit{}, RateLimit: &RateLimit{}},
			`circuit_breaker.slow_call_duration: is missing beside slow_call_ratio; write from when a call is slow, such as "1s"
circuit_breaker.max_open_duration: the default 1m is less than open_duration, 2m; write at least that
concurrency_limit: has no limit; write max_in_flight or adaptive
rate_limit.calls_per_second: is missing; write how many calls a second may pass`},
		{"guards of each method", &Service{MethodDefaults: &Method{
			ConcurrencyLimit: &ConcurrencyLimit{Adaptive: &AdaptiveLimit{Min: Set(2000)}}, RateLimit: &RateLimit{}}},
			`method_defaults.concurrency_limit.adaptive.max: the default 1000 is less than min, 2000; write at least that
method_defaults.rate_limit.calls_per_second: is missing; write how many calls a second may pass`},
		{"guards that are off", &Service{
			CircuitBreaker:   &CircuitBreaker{SlowCallRatio: Set(0.5), Disabled: Set(true)},
			ConcurrencyLimit: &ConcurrencyLimit{Disabled: Set(true)},
			RateLimit:        &RateLimit{Disabled: Set(true)},
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ValidateEffective(tc.in).Error(); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	if ps := ValidateEffectiveMethod(nil); ps != nil {
		t.Errorf("nil has the problems %v", ps)
	}
}

func TestProblem(t *testing.T) {
	for want, p := range map[string]Problem{
		"text":                 {Text: "text"},
		"a.b: text":            {Path: "a.b", Text: "text"},
		"o.yaml: a.b: text":    {Source: "o.yaml", Path: "a.b", Text: "text"},
		"a.proto:3: a.b: text": {Source: "a.proto", Line: 3, Path: "a.b", Text: "text"},
		"o.yaml:3:7: text":     {Source: "o.yaml", Line: 3, Column: 7, Text: "text"},
	} {
		if got := p.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	ps := Problems{{Path: "a", Text: "one"}, {Text: "two"}}
	if got, want := ps.In("x").Error(), "x.a: one\nx: two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ps.In("").Error(), "a: one\ntwo"; got != want || ps[0].Path != "a" {
		t.Errorf("got %q, want %q, and the input as it was", got, want)
	}
	if Problems(nil).Err() != nil || !errors.Is(ps.Err(), ps[1]) {
		t.Error("no problem is an error, or errors.Is does not reach one of several")
	}
}
