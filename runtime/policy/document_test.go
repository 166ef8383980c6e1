package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
)

func TestParseDocument(t *testing.T) {
	text, err := os.ReadFile("testdata/overrides.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseDocument("overrides.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := &Document{
		Defaults: &Service{MethodDefaults: &Method{Timeout: &Timeout{PerAttempt: Set(250 * time.Millisecond)}}},
		Services: map[string]*Entry{
			"shop.catalog.v1.CatalogService": {
				Policy: &Service{
					LoadBalancing:    &LoadBalancing{PeakEwma: &PeakEwma{Decay: Set(5 * time.Second)}},
					OutlierDetection: &OutlierDetection{Codes: []codes.Code{codes.Unavailable, codes.Internal}},
					MethodDefaults:   &Method{Retry: &Retry{MaxAttempts: Set(4)}},
				},
				Methods: map[string]*Method{
					"ListProducts": {Hedging: &Hedging{Disabled: Set(true)}},
					"WatchPrices":  {StreamTimeout: &StreamTimeout{Idle: Set(time.Duration(0))}},
				},
			},
			"shop.billing.v1.BillingService": {
				Policy: &Service{CircuitBreaker: &CircuitBreaker{Observe: Set(false)}},
			},
		},
	}
	sameDocument(t, got, want)

	for path, want := range map[string][2]int{
		"version": {2, 1},
		"services.shop.catalog.v1.CatalogService.policy.method_defaults.retry.max_attempts": {14, 17},
		"services.shop.catalog.v1.CatalogService.methods.WatchPrices":                       {18, 7},
		"defaults.dial": {0, 0},
	} {
		if line, column := got.Position(path); line != want[0] || column != want[1] {
			t.Errorf("%s is at %d:%d, want %v", path, line, column, want)
		}
	}
}

type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

func sameDocument(t tester, got, want *Document) {
	t.Helper()
	if !Equal(got.Defaults, want.Defaults) {
		t.Errorf("defaults: got %v, want %v", plain(got.Defaults), plain(want.Defaults))
	}
	if len(got.Services) != len(want.Services) {
		t.Errorf("got %d services, want %d", len(got.Services), len(want.Services))
	}
	for name, w := range want.Services {
		g := got.Services[name]
		if g == nil || len(g.Methods) != len(w.Methods) || len(g.Traits) != len(w.Traits) {
			t.Errorf("%s: got %+v, want %+v", name, g, w)
			continue
		}
		if !Equal(g.Policy, w.Policy) {
			t.Errorf("%s: got %v, want %v", name, plain(g.Policy), plain(w.Policy))
		}
		for method, m := range w.Methods {
			if !Equal(g.Methods[method], m) {
				t.Errorf("%s/%s: got %v, want %v", name, method, plain(g.Methods[method]), plain(m))
			}
		}
		for method, m := range w.Traits {
			if !Equal(g.Traits[method], m) {
				t.Errorf("%s/%s: got %v, want %v", name, method, plain(g.Traits[method]), plain(m))
			}
		}
	}
}

func drawDocument(t *rapid.T) *Document {
	d := &Document{Services: make(map[string]*Entry)}
	if rapid.Bool().Draw(t, "defaults?") {
		d.Defaults = drawPolicy[Service](t, "defaults")
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "services") {
		label := fmt.Sprint("service", i)
		e := &Entry{Methods: make(map[string]*Method), Traits: make(map[string]*Traits)}
		if rapid.Bool().Draw(t, label+"?") {
			e.Policy = drawPolicy[Service](t, label)
		}
		for _, name := range []string{"GetItem", "Null", "On"}[:rapid.IntRange(0, 3).Draw(t, label+".methods")] {
			e.Methods[name] = drawPolicy[Method](t, label+"."+name)
			e.Traits[name] = drawPolicy[Traits](t, label+"."+name)
		}
		d.Services[fmt.Sprintf("acme.v1.Service%d", i)] = e
	}
	return d
}

func TestYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawDocument(t)
		text := want.YAML()
		got, err := ParseDocument("drawn.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		sameDocument(t, got, want)
		if again := got.YAML(); !bytes.Equal(again, text) {
			t.Errorf("written\n%s\nread and written again\n%s", text, again)
		}
	})
}

// TestJSONRoundTrip reads what protobuf's own JSON encoder writes of the same policy, in both spellings of names and
// with whatever white space.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &Document{
			Defaults: drawPolicy[Service](t, "defaults"),
			Services: map[string]*Entry{"acme.v1.Items": {
				Policy:  drawPolicy[Service](t, "service"),
				Methods: map[string]*Method{"GetItem": drawPolicy[Method](t, "method")},
			}},
		}
		e := want.Services["acme.v1.Items"]
		text, err := protojson.MarshalOptions{UseProtoNames: rapid.Bool().Draw(t, "proto names")}.Marshal(
			&goresilientv1.PolicyDocument{
				Version:  DocumentVersion,
				Defaults: ServiceToProto(want.Defaults),
				Services: map[string]*goresilientv1.ServiceEntry{"acme.v1.Items": {
					Policy:  ServiceToProto(e.Policy),
					Methods: map[string]*goresilientv1.MethodPolicy{"GetItem": MethodToProto(e.Methods["GetItem"])},
				}},
			})
		if err != nil {
			t.Fatal(err)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", rapid.SampledFrom([]string{"", "  ", "\t"}).Draw(t, "indent")); err != nil {
			t.Fatal(err)
		}
		got, err := ParseDocument("drawn.json", indented.Bytes())
		if err != nil {
			t.Fatalf("%v\n%s", err, indented.Bytes())
		}
		sameDocument(t, got, want)
	})
}

func TestYAML(t *testing.T) {
	d := &Document{
		Defaults: &Service{},
		Services: map[string]*Entry{
			"acme.v1.Orders": nil,
			"acme.v1.Items": {
				Policy: &Service{
					Target: Set("dns:///items:443"),
					LoadBalancing: &LoadBalancing{
						LeastRequest: &LeastRequest{Choices: Set(3)},
						PanicRatio:   Set(0.25),
					},
					RateLimit: &RateLimit{CallsPerSecond: Set(2e6)},
				},
				Methods: map[string]*Method{
					"GetItem": {Retry: &Retry{
						Backoff: &Backoff{Initial: Set(90 * time.Second)},
						Codes:   []codes.Code{codes.Unavailable, codes.Canceled},
					}},
					"Null":   {Hedging: &Hedging{}},
					"Delete": nil,
				},
				Traits: map[string]*Traits{"GetItem": {HashKey: Set(`a "b"`)}},
			},
		},
	}
	const want = `version: goresilient.v1
defaults: {}
services:
  acme.v1.Items:
    policy:
      target: "dns:///items:443"
      load_balancing:
        least_request:
          choices: 3
        panic_ratio: 0.25
      rate_limit:
        calls_per_second: 2000000
    methods:
      Delete: {}
      GetItem:
        retry:
          backoff:
            initial: 1m30s
          codes: [UNAVAILABLE, CANCELLED]
      "Null":
        hedging: {}
    traits:
      GetItem:
        hash_key: "a \"b\""
  acme.v1.Orders: {}
`
	if got := string(d.YAML()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := string(new(Document).YAML()), "version: goresilient.v1\n"; got != want {
		t.Errorf("an empty document: got %q, want %q", got, want)
	}
}

func TestDocumentLayers(t *testing.T) {
	d, err := ParseDocument("o.yaml", []byte(strings.Join([]string{
		"version: goresilient.v1",
		"defaults: {dial: {block: true}}",
		"services:",
		"  acme.v1.Items:",
		"    policy: {dial: {min_ready: 2}}",
		"    methods:",
		"      GetItem: {timeout: {total: 1s}}",
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	_, origins := Stack(d.Layers("acme.v1.Items", LevelOverride)).Service()
	for path, want := range map[string]string{
		"dial.block":     "override, o.yaml:2",
		"dial.min_ready": "override, o.yaml:5",
	} {
		if got := origins[path].String(); got != want {
			t.Errorf("%s is from %s, want %s", path, got, want)
		}
	}
	_, origins, _ = Stack(d.Layers("acme.v1.Items", LevelOverride)).Method("GetItem", RPC{})
	if got, want := origins["timeout.total"].String(), "override, o.yaml:7"; got != want {
		t.Errorf("timeout.total is from %s, want %s", got, want)
	}
	if got := len(d.Layers("acme.v1.Others", LevelOverride)); got != 1 {
		t.Errorf("a service that is not named has %d layers, want the defaults alone", got)
	}
	if got := new(Document).Layers("acme.v1.Items", LevelOverride); got != nil {
		t.Errorf("an empty document has layers: %v", got)
	}
}

func TestDocumentAt(t *testing.T) {
	d, err := ParseDocument("o.yaml", []byte("version: goresilient.v1\ndefaults:\n  rate_limit: {burst: 5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := d.At("defaults", ValidateEffective(d.Defaults)).Error()
	want := "o.yaml:3:3: defaults.rate_limit.calls_per_second: is missing; write how many calls a second may pass"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
