package discovery

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	_ "google.golang.org/grpc/balancer/ringhash"

	"github.com/goresilient/goresilient/runtime/policy"
)

func TestServiceConfigLoadBalancing(t *testing.T) {
	tests := []struct {
		name, js string
		want     *policy.LoadBalancing
	}{
		{"none", `{}`, nil},
		{"ours", `{"loadBalancingConfig":[{"goresilient":{}}]}`, nil},
		{"round_robin", `{"loadBalancingConfig":[{"round_robin":{}}]}`, &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}},
		{"by the old field", `{"loadBalancingPolicy":"ROUND_ROBIN"}`, &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}},
		{"the list beats the old field", `{"loadBalancingPolicy":"pick_first","loadBalancingConfig":[{"round_robin":{}}]}`, &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}},
		{"the first that is known", `{"loadBalancingConfig":[{"not_there":{}},{"pick_first":{"shuffleAddressList":true}}]}`, &policy.LoadBalancing{PickFirst: &policy.PickFirst{Shuffle: policy.Set(true)}}},
		{"least request", `{"loadBalancingConfig":[{"least_request_experimental":{"choiceCount":4}}]}`, &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: policy.Set(4)}}},
		{"least request, as A48 bounds it", `{"loadBalancingConfig":[{"least_request_experimental":{"choiceCount":40}}]}`, &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: policy.Set(10)}}},
		{"null", `{"loadBalancingConfig":null,"methodConfig":[{"name":[{}],"timeout":null}]}`, nil},
		{"a timeout of ages", `{"methodConfig":[{"name":[{}],"timeout":"315576000000s"}]}`, nil},
		{"somebody else's", `{"loadBalancingConfig":[{"ring_hash_experimental":{"minRingSize":5}}]}`, &policy.LoadBalancing{Custom: &policy.Custom{
			Name: policy.Set("ring_hash_experimental"), ConfigJSON: policy.Set(`{"minRingSize":5}`),
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc, err := ParseServiceConfig(tt.js)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(sc.LoadBalancing(), tt.want) {
				t.Fatalf("got %+v, want %+v", sc.LoadBalancing(), tt.want)
			}
		})
	}
}

func TestServiceConfigErrors(t *testing.T) {
	tests := []struct{ name, js, want string }{
		{"no JSON", `{`, "write a JSON object"},
		{"no list", `{"loadBalancingConfig":{}}`, "write a list of objects"},
		{"two policies in one object", `{"loadBalancingConfig":[{"a":{},"b":{}}]}`, "an object with 2 policies"},
		{"nothing registered", `{"loadBalancingConfig":[{"a":{}},{"b":{}}]}`, `none of the policies "a", "b" is registered`},
		{"old field, not registered", `{"loadBalancingPolicy":"grpclb"}`, `"grpclb" is not registered`},
		{"bad configuration of a policy", `{"loadBalancingConfig":[{"weighted_round_robin":{"blackoutPeriod":5}}]}`, "weighted_round_robin"},
		{"bad timeout", `{"methodConfig":[{"name":[{}],"timeout":"soon"}]}`, `methodConfig[0]: timeout: "soon" is not a duration`},
		{"two policies", `{"loadBalancingConfig":[{}]}`, "an object with 0 policies"},
		{"negative timeout", `{"methodConfig":[{"name":[{}],"timeout":"-1s"}]}`, "not a duration in range"},
		{"two at once", `{"methodConfig":[{"timeout":"1m"},{"waitForReady":"no"}]}`, "methodConfig[1]: waitForReady"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseServiceConfig(tt.js)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestServiceConfigMethods(t *testing.T) {
	sc, err := ParseServiceConfig(`{"methodConfig":[
		{"name":[{}],"timeout":"9s"},
		{"name":[{"service":"a.S"}],"timeout":"1.5s","waitForReady":true,"maxRequestMessageBytes":"10","maxResponseMessageBytes":20},
		{"name":[{"service":"a.S","method":"One"}],"waitForReady":false}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := sc.Method("b.T", "Any"); *got.Timeout.Total != 9*time.Second || *got.StreamTimeout.Total != 9*time.Second {
		t.Errorf("default entry = %+v", got)
	}
	if got := sc.Method("a.S", "Two"); *got.Timeout.Total != 1500*time.Millisecond || !*got.WaitForReady || *got.MaxRequestBytes != 10 || *got.MaxResponseBytes != 20 {
		t.Errorf("entry of the service = %+v", got)
	}
	if got := sc.Method("a.S", "One"); got.Timeout != nil || *got.WaitForReady {
		t.Errorf("entry of the RPC = %+v, want nothing of the less specific ones", got)
	}
}

func TestServiceConfigRender(t *testing.T) {
	const retry = `{"maxAttempts":3,"initialBackoff":"0.1s","maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}`
	sc, err := ParseServiceConfig(`{
		"loadBalancingConfig":[{"round_robin":{}}],
		"retryThrottling":{"maxTokens":10,"tokenRatio":0.1},
		"healthCheckConfig":{"serviceName":"x"},
		"methodConfig":[{"name":[{"service":"a.S"},{"service":"b.T","method":"One"}],"timeout":"1s","retryPolicy":` + retry + `}]}`)
	if err != nil {
		t.Fatal(err)
	}
	rpcs := []RPC{
		{Service: "a.S", Method: "One"},
		{Service: "a.S", Method: "Watch", Streaming: true},
		{Service: "a.S", Method: "List", Streaming: true, Retry: policy.Complete(&policy.Method{Retry: &policy.Retry{}}).Retry},
		{Service: "a.S", Method: "Chat", Streaming: true, Retry: policy.Complete(&policy.Method{Retry: &policy.Retry{Disabled: policy.Set(true)}}).Retry},
		{Service: "b.T", Method: "One"},
		{Service: "c.U", Method: "One"},
		{Service: "c.U", Method: "Watch", Streaming: true, Retry: policy.Complete(&policy.Method{Retry: &policy.Retry{}}).Retry},
	}
	const ours = `{"maxAttempts":3,"initialBackoff":"0.025s","maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":[14]}`
	want := `{
		"loadBalancingConfig":[{"goresilient":{}}],
		"healthCheckConfig":{"serviceName":"mine"},
		"methodConfig":[
			{"name":[{"service":"a.S","method":"One"}]},
			{"name":[{"service":"a.S","method":"Watch"}],"retryPolicy":` + retry + `},
			{"name":[{"service":"a.S","method":"List"}],"retryPolicy":` + ours + `},
			{"name":[{"service":"a.S","method":"Chat"}]},
			{"name":[{"service":"b.T","method":"One"}]},
			{"name":[{"service":"c.U","method":"Watch"}],"retryPolicy":` + ours + `},
			{"name":[{"service":"a.S"}],"timeout":"1s","retryPolicy":` + retry + `}]}`
	sameJSON(t, sc.Render(rpcs, policy.Set("mine")), want)
	sameJSON(t, sc.Render(rpcs, nil), strings.Replace(want, `"healthCheckConfig":{"serviceName":"mine"},`, "", 1))
	empty, err := ParseServiceConfig("")
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, empty.Render(rpcs[:2], nil), `{"loadBalancingConfig":[{"goresilient":{}}]}`)
}

func TestServiceConfigWeightedRoundRobin(t *testing.T) {
	sc, err := ParseServiceConfig(`{"loadBalancingConfig":[{"weighted_round_robin":{
		"enableOobLoadReport":true,"oobReportingPeriod":"0.5s","blackoutPeriod":"0s","weightExpirationPeriod":"60s",
		"weightUpdatePeriod":"0.01s","errorUtilizationPenalty":1.5}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	got := sc.LoadBalancing().WeightedRoundRobin
	if got == nil || *got.OutOfBandPeriod != 500*time.Millisecond || *got.Blackout != 0 || *got.WeightExpiration != time.Minute ||
		*got.UpdatePeriod != 100*time.Millisecond || *got.ErrorPenalty != 1.5 {
		t.Errorf("policy %+v", got)
	}
	if _, err := ParseServiceConfig(`{"loadBalancingConfig":[{"weighted_round_robin":{"blackoutPeriod":"soon"}}]}`); err == nil {
		t.Error("no error for a period that is no duration")
	}
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseServiceConfig(f *testing.F) {
	f.Add(`{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":[{"service":"a"}],"timeout":"1s"}]}`)
	f.Add(`{"methodConfig":[{"name":[{}],"maxRequestMessageBytes":"1"}],"healthCheckConfig":{}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, js string) {
		sc, err := ParseServiceConfig(js)
		if err != nil {
			return
		}
		if out := sc.Render([]RPC{{Service: "a", Method: "B"}}, nil); !json.Valid([]byte(out)) {
			t.Fatalf("rendered %q", out)
		}
	})
}
