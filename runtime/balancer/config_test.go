package balancer

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/policy"
)

func TestValidateConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want string // part of the error; "" for none
	}{
		{"round_robin", roundRobinConfig(), ""},
		{"pick_first", pickFirstConfig(), ""},
		{"least_request", leastRequestConfig(3), ""},
		{"least_request without choices", Config{LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}}, ""},
		{"custom", customConfig("round_robin", "{}"), ""},
		{"custom with configuration", customConfig("pick_first", `{"shuffleAddressList":true}`), ""},
		{"no policy", Config{}, "load_balancing: has no policy; set one"},
		{"choices out of range", leastRequestConfig(11), "load_balancing.least_request.choices: 11 is out of range; write 2 to 10"},
		{"custom without name", customConfig("", "{}"), "load_balancing.custom.name: is missing"},
		{"custom unknown", customConfig("nobody", "{}"), `no policy is registered with grpc as "nobody"; import`},
		{"custom inside itself", customConfig(Name, "{}"), "would run inside itself"},
		{"custom refused", customConfig("least_request_experimental", `{"choiceCount":1}`), "config_json: the policy"},
		{"custom takes none", customConfig("round_robin", `{"a":1}`), "takes no configuration"},
		{"zone_aware", Config{LoadBalancing: zoneAware(), Zone: "eu-west-1a"}, ""},
		{"zone_aware without a zone", Config{LoadBalancing: zoneAware()}, "load_balancing.zone_aware: has no zone to prefer: the client does not know " +
			"its own; give it with the Go option WithZone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateConfig(tt.cfg)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var ps policy.Problems
			if !errors.As(err, &ps) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want Problems with %q", err, tt.want)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	parser := balancer.Get(Name).(balancer.ConfigParser)
	for js, ok := range map[string]bool{"{}": true, ` {} `: true, `{"a":1}`: false, "[]": false, "{}{}": false, "": false} {
		if _, err := parser.ParseConfig([]byte(js)); (err == nil) != ok {
			t.Errorf("ParseConfig(%q) = %v", js, err)
		}
	}
}
