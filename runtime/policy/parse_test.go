package policy

import (
	"errors"
	"os"
	"testing"
)

const (
	versionLine = "version: goresilient.v1\n"
	retryFields = "disabled, max_attempts, backoff, codes, skip_nested"
)

func TestParseDocumentProblems(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", `o.yaml: the document is empty; begin it with version: goresilient.v1`},
		{"only a comment", "# nothing\n", `o.yaml: the document is empty; begin it with version: goresilient.v1`},
		{"null", "null", `o.yaml:1:1: nothing stands where fields are expected; write a mapping, {} if nothing is to be set`},
		{"a list", "[]", `o.yaml:1:1: a list stands where fields are expected; write a mapping, {} if nothing is to be set`},
		{"syntax", "version: [", "o.yaml:1: is neither YAML nor JSON: did not find expected node content; mend the text there"},
		{"syntax after the end", versionLine + "--- [", "o.yaml:2: is neither YAML nor JSON: did not find expected node content; mend the text there"},
		{"second document", versionLine + "---\ndefaults: {}\n", `o.yaml:2:1: a second document begins here; put everything in one`},

		{"no version", "defaults: {}\n", `o.yaml:1:1: version: is missing; write goresilient.v1`},
		{"other version", "version: goresilient.v2\n", `o.yaml:1:10: version: "goresilient.v2" is not a version that this program reads; write goresilient.v1, or upgrade`},
		{"version of another type", "version: {a: 1}\n", `o.yaml:1:10: version: a mapping is not a version that this program reads; write goresilient.v1, or upgrade`},

		{"unknown at the top", versionLine + "service: {}\n", `o.yaml:2:1: service: is not a field here; write one of version, defaults, services, or upgrade if it is newer than this program`},
		{"unknown in a service", versionLine + "services: {a.B: {method: {}}}\n", `o.yaml:2:18: services.a.B.method: is not a field here; write one of policy, methods, traits, or upgrade if it is newer than this program`},
		{"unknown in a message", versionLine + "defaults: {method_defaults: {retry: {max_attempt: 3}}}\n", `o.yaml:2:38: defaults.method_defaults.retry.max_attempt: is not a field here; write one of ` + retryFields + `, or upgrade if it is newer than this program`},
		{"unknown in a message without fields", versionLine + "defaults: {load_balancing: {adaptive: {d: 5}}}\n", `o.yaml:2:40: defaults.load_balancing.adaptive.d: is not a field here, nor is anything else; remove it, or upgrade if it is newer than this program`},
		{"merge key", versionLine + "defaults: {dial: {<<: {block: true}}}\n", `o.yaml:2:19: defaults.dial.<<: is not a field here; write one of block, timeout, min_ready, fail_on_permanent_error, refused_is_permanent, or upgrade if it is newer than this program`},

		{"duplicate key", versionLine + "defaults: {}\ndefaults: {}\n", `o.yaml:3:1: defaults: stands there twice; remove one`},
		{"duplicate service", versionLine + "services: {a.B: {}, a.B: {}}\n", `o.yaml:2:21: services.a.B: stands there twice; remove one`},
		{"duplicate method", versionLine + "services: {a.B: {methods: {Get: {}, Get: {}}}}\n", `o.yaml:2:37: services.a.B.methods.Get: stands there twice; remove one`},
		{"duplicate field", versionLine + "defaults: {dial: {block: true, block: true}}\n", `o.yaml:2:32: defaults.dial.block: stands there twice; remove one`},
		{"duplicate in camel case", versionLine + "defaults: {dial: {min_ready: 1, minReady: 1}}\n", `o.yaml:2:33: defaults.dial.min_ready: stands there twice, once in camel case; remove one`},
		{"key that is no name", versionLine + "defaults: {[a]: 1}\n", `o.yaml:2:12: defaults: a list stands where a name is expected; write a field or a name`},

		{"service name", versionLine + "services: {a/B: {}}\n", `o.yaml:2:12: services.a/B: "a/B" is not the full name of a service; write it as package.Service`},
		{"method name", versionLine + "services: {a.B: {methods: {a.B.Get: {}}}}\n", `o.yaml:2:28: services.a.B.methods.a.B.Get: "a.B.Get" is not the name of an RPC; write it as in the proto, without its service`},
		{"traits name", versionLine + "services: {a.B: {traits: {'': {}}}}\n", `o.yaml:2:27: services.a.B.traits.: "" is not the name of an RPC; write it as in the proto, without its service`},

		{"null message", versionLine + "defaults:\n", `o.yaml:2:10: defaults: nothing stands where fields are expected; write a mapping, {} if nothing is to be set`},
		{"null services", versionLine + "services: ~\n", `o.yaml:2:11: services: nothing stands where fields are expected; write a mapping, {} if nothing is to be set`},
		{"null value", versionLine + "defaults: {dial: {block: null}}\n", `o.yaml:2:26: defaults.dial.block: nothing is neither true nor false; write one of them`},
		{"scalar for a message", versionLine + "defaults: {dial: true}\n", `o.yaml:2:18: defaults.dial: true stands where fields are expected; write a mapping, {} if nothing is to be set`},
		{"alias", versionLine + "defaults: {dial: &d {}}\nservices: {a.B: {policy: {dial: *d}}}\n", `o.yaml:3:33: services.a.B.policy.dial: YAML aliases are not read; write the value out`},
		{"alias in a list", versionLine + "defaults: {outlier_detection: {codes: [&c UNAVAILABLE, *c]}}\n", `o.yaml:2:56: defaults.outlier_detection.codes: a YAML alias is no gRPC code; write a name such as UNAVAILABLE`},

		{"bool", versionLine + "defaults: {dial: {block: yes}}\n", `o.yaml:2:26: defaults.dial.block: "yes" is neither true nor false; write one of them`},
		{"bool by tag", versionLine + "defaults: {dial: {block: !!bool maybe}}\n", `o.yaml:2:26: defaults.dial.block: maybe is neither true nor false; write one of them`},
		{"whole number", versionLine + "defaults: {dial: {min_ready: 1.5}}\n", `o.yaml:2:30: defaults.dial.min_ready: 1.5 is not a whole number; write digits, such as 3`},
		{"whole number in quotes", versionLine + "defaults: {dial: {min_ready: '1'}}\n", `o.yaml:2:30: defaults.dial.min_ready: "1" is text; remove the quotes`},
		{"bool in quotes", versionLine + "defaults: {dial: {block: \"true\"}}\n", `o.yaml:2:26: defaults.dial.block: "true" is text; remove the quotes`},
		{"no bool, in quotes", versionLine + "defaults: {dial: {block: 'on'}}\n", `o.yaml:2:26: defaults.dial.block: "on" is neither true nor false; write one of them`},
		{"share in quotes", versionLine + "defaults: {retry_budget: {ratio: '0.5'}}\n", `o.yaml:2:34: defaults.retry_budget.ratio: "0.5" is text; remove the quotes`},
		{"whole number too large", versionLine + "defaults: {dial: {min_ready: 99999999999999999999}}\n", `o.yaml:2:30: defaults.dial.min_ready: 99999999999999999999 is too large; write a smaller value`},
		{"number too large", versionLine + "defaults: {retry_budget: {ratio: 1e999}}\n", `o.yaml:2:34: defaults.retry_budget.ratio: "1e999" is too large; write a smaller value`},
		{"duration too large", versionLine + "defaults: {dial: {timeout: 1h9999999.5h}}\n", `o.yaml:2:28: defaults.dial.timeout: "1h9999999.5h" is too large; write a smaller value`},
		{"whole number out of range", versionLine + "defaults: {dial: {min_ready: 0}}\n", `o.yaml:2:19: defaults.dial.min_ready: 0 is out of range; write a number from 1 to 1000000`},
		{"number", versionLine + "defaults: {retry_budget: {ratio: half}}\n", `o.yaml:2:34: defaults.retry_budget.ratio: "half" is not a number; write one, such as 0.5`},
		{"number out of range", versionLine + "defaults: {retry_budget: {ratio: 1.5}}\n", `o.yaml:2:27: defaults.retry_budget.ratio: 1.5 is out of range; write a number more than 0 and at most 1`},
		{"not a number", versionLine + "defaults: {retry_budget: {ratio: !!float nan}}\n", `o.yaml:2:27: defaults.retry_budget.ratio: NaN is out of range; write a number more than 0 and at most 1`},
		{"duration without a unit", versionLine + "defaults: {dial: {timeout: 10}}\n", `o.yaml:2:28: defaults.dial.timeout: 10 is not a duration; write a number with a unit, such as "250ms" or "1m30s"`},
		{"duration in words", versionLine + "defaults: {dial: {timeout: a while}}\n", `o.yaml:2:28: defaults.dial.timeout: "a while" is not a duration; write a number with a unit, such as "250ms" or "1m30s"`},
		{"duration out of range", versionLine + "defaults: {dial: {timeout: -1s}}\n", `o.yaml:2:19: defaults.dial.timeout: "-1s" is out of range; write a duration at least 0s`},
		{"text", versionLine + "defaults: {target: 5}\n", `o.yaml:2:20: defaults.target: 5 is not text; put it in quotes`},
		{"text that is a list", versionLine + "defaults: {target: [a]}\n", `o.yaml:2:20: defaults.target: a list is not text; put it in quotes`},
		{"empty text", versionLine + "defaults: {target: ''}\n", `o.yaml:2:12: defaults.target: is empty; write a value, or leave the field out to inherit`},
		{"text of two lines", versionLine + "defaults: {target: \"a\\nb\"}\n", `o.yaml:2:12: defaults.target: "a\nb" has a character that cannot be printed; remove it`},
		{"code", versionLine + "defaults: {outlier_detection: {codes: [UNAVAILABLE, Unknown]}}\n", `o.yaml:2:53: defaults.outlier_detection.codes: "Unknown" is no gRPC code; write a name such as UNAVAILABLE`},
		{"code that is no failure", versionLine + "defaults: {outlier_detection: {codes: [OK]}}\n", `o.yaml:2:32: defaults.outlier_detection.codes: OK is never a failure; remove it`},
		{"code twice", versionLine + "defaults: {outlier_detection: {codes: [INTERNAL, CODE_INTERNAL]}}\n", `o.yaml:2:32: defaults.outlier_detection.codes: INTERNAL stands there twice; remove one`},
		{"codes that are no list", versionLine + "defaults: {outlier_detection: {codes: UNAVAILABLE}}\n", `o.yaml:2:39: defaults.outlier_detection.codes: "UNAVAILABLE" stands where a list of codes is expected; write, say, [UNAVAILABLE]`},

		{"two arms", versionLine + "defaults: {load_balancing: {pick_first: {}, round_robin: {}}}\n", `o.yaml:2:45: defaults.load_balancing.round_robin: stands beside pick_first, and only one of them can hold; remove one`},
		{"custom without a name", versionLine + "defaults: {load_balancing: {custom: {config_json: '{}'}}}\n", `o.yaml:2:29: defaults.load_balancing.custom.name: is missing; write the name under which the policy is registered with grpc`},
		{"custom with a name that cannot be read", versionLine + "defaults: {load_balancing: {custom: {name: 5}}}\n", `o.yaml:2:44: defaults.load_balancing.custom.name: 5 is not text; put it in quotes`},

		{"several, in the order of the text", "services: {a.B: {policy: {dial: {timeout: soon}, rate_limit: {burst: 0}}}}\ndefaults: {x: 1}\nversion: 2\n",
			`o.yaml:1:43: services.a.B.policy.dial.timeout: "soon" is not a duration; write a number with a unit, such as "250ms" or "1m30s"
o.yaml:1:63: services.a.B.policy.rate_limit.burst: 0 is out of range; write a number from 1 to 1000000000
o.yaml:2:12: defaults.x: is not a field here; write one of target, load_balancing, outlier_detection, health_check, discovery, dial, connection, retry_budget, circuit_breaker, concurrency_limit, rate_limit, adaptive_throttle, method_defaults, or upgrade if it is newer than this program
o.yaml:3:10: version: 2 is not a version that this program reads; write goresilient.v1, or upgrade`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := ParseDocument("o.yaml", []byte(tc.text))
			if err == nil {
				t.Fatalf("no error; want\n%s", tc.want)
			}
			if d != nil {
				t.Error("a document beside the error")
			}
			if err.Error() != tc.want {
				t.Errorf("got\n%s\nwant\n%s", err, tc.want)
			}
			var p Problem
			if !errors.As(err, &p) || p.Source != "o.yaml" {
				t.Errorf("errors.As does not reach a Problem of o.yaml: %#v", p)
			}
		})
	}
}

func TestParseDocumentAccepts(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"version alone", versionLine},
		{"json", `{"version": "goresilient.v1", "defaults": {"dial": {"minReady": 2}}}`},
		{"json with tabs", "{\n\t\"version\": \"goresilient.v1\",\n\t\"defaults\": {\n\t\t\"target\": \"dns:///a:1\"\n\t}\n}\n"},
		{"everything empty", versionLine + "defaults: {}\nservices: {a.B: {policy: {}, methods: {}, traits: {}}}\n"},
		{"an anchor that nothing refers to", versionLine + "defaults: &d {}\n"},
		{"empty list of codes", versionLine + "defaults: {outlier_detection: {codes: []}}\n"},
		{"one l, as in a service config", versionLine + "defaults: {outlier_detection: {codes: [CANCELED]}}\n"},
		{"whole number for a share", versionLine + "defaults: {retry_budget: {ratio: 1}}\n"},
		{"underscores and hexadecimal", versionLine + "defaults: {load_balancing: {subset_size: 1_000}, dial: {min_ready: 0x10}}\n"},
		{"end marker", "---\n" + versionLine + "...\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := ParseDocument("o.yaml", []byte(tc.text)); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzParseDocument(f *testing.F) {
	text, err := os.ReadFile("testdata/overrides.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range []string{
		"", "null", "[]", "{}", "? a\n: b", "- &a [*a]", "--- !!map\n{}", "version: !!binary aGk=", "&a {*a : *a}",
		versionLine + "defaults: {<<: {}}", versionLine + "services: {? {}: {}}",
		`{"version":"goresilient.v1","services":{"a.B":{"methods":{"C":{"hedging":{"delayQuantile":0.9}}}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDocument("fuzz.yaml", text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		again, err := ParseDocument("again.yaml", d.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, d.YAML())
		}
		sameDocument(t, again, d)
	})
}
