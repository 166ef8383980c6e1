package discovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/filewatch"
)

func TestParseEndpointsFile(t *testing.T) {
	plain := func(addresses ...string) Endpoint { return Endpoint{Addresses: addresses, Weight: 1} }
	tests := []struct {
		name, text string
		want       []Endpoint
	}{
		{"empty list", "endpoints: []", nil},
		{"addresses", "endpoints:\n- address: Db:0443\n- {addresses: ['[2001:DB8::1]:443', 10.0.0.3:443]}\n",
			[]Endpoint{plain("db:443"), plain("[2001:db8::1]:443", "10.0.0.3:443")}},
		{"everything", "endpoints: [{address: a:1, weight: 2, zone: eu-1, priority: 127, metadata: {rack: r7, n: 1}}]",
			[]Endpoint{{Addresses: []string{"a:1"}, Weight: 2, Zone: "eu-1", Priority: 127,
				Metadata: map[string]string{"rack": "r7", "n": "1"}}}},
		{"list grammar", "endpoints:\n- a:1;weight=3\n- b:1, c:1+d:1\n",
			[]Endpoint{{Addresses: []string{"a:1"}, Weight: 3}, plain("b:1"), plain("c:1", "d:1")}},
		{"JSON", `{"endpoints": [{"address": "unix:/run/a", "weight": 2}, "b:1"]}`,
			[]Endpoint{{Addresses: []string{"unix:/run/a"}, Weight: 2}, plain("b:1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseEndpointsFile([]byte(tt.text))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseEndpointsFileErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // in order
	}{
		{"empty", "", []string{"the file is empty; write endpoints: []"}},
		{"only a comment", "# none\n", []string{"the file is empty; write endpoints: []"}},
		{"no YAML", "endpoints: [", []string{"neither YAML nor JSON: line 1"}},
		{"a list at the top", "- a:1", []string{"line 1:1: is not a mapping with the field endpoints"}},
		{"missing", "{}", []string{"line 1:1: the field endpoints is missing"}},
		{"no list", "endpoints: a:1", []string{`line 1:12: "a:1" is no list`}},
		{"second document", "endpoints: []\n---\nendpoints: []\n", []string{"a second document begins here"}},
		{"several", "endpoint: []\nendpoints:\n- adress: a:1\n  weight: 0\n- address: b\n  priority: x\n- [c]\n- d:1;q=1\n- null\n",
			[]string{`line 1:1: "endpoint" is not a field here`,
				`line 3:3: "adress" is not a field of an endpoint`, "line 3:3: the endpoint has no address",
				`line 4:11: "0" is no number that fits here; write a whole number from 1 to 1000000`,
				`line 5:12: "b" has no port; write b:443`, `line 6:13: "x" is no number`,
				"line 7:3: is no endpoint", `line 8:7: "q=1" has the unknown key "q"`, "line 9:3:"}},
		{"quoted item", "endpoints: ['a:1;q=1']", []string{`line 1:18: "q=1"`}},
		{"twice", "endpoints:\n- address: a:1\n- A:1\n- addresses: [b:1, B:01]\n",
			[]string{`line 3:3: "A:1" names a:1, which line 2 names already`, `line 4:20: "B:01" names b:1`}},
		{"both", "endpoints: [{address: a:1, addresses: [b:1]}]", []string{"stands beside address"}},
		{"field twice", "endpoints: [{address: a:1, zone: x, zone: y}]", []string{`"zone" stands there twice`}},
		{"wrong kinds", "endpoints: [{address: [a:1], addresses: [], weight: '2', zone: '', metadata: [x]}]",
			[]string{"is no text", "is no list of addresses", `"2" is no number`, "is no text", "is not a mapping of names to text"}},
		{"alias", "x: &a {}\nendpoints: *a\n", []string{`"x" is not a field`, "is a YAML alias"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseEndpointsFile([]byte(tt.text))
			if !IsPermanent(err) {
				t.Fatalf("got %v", err)
			}
			rest := err.Error()
			for _, want := range tt.want {
				i := strings.Index(rest, want)
				if i < 0 {
					t.Fatalf("%q does not say %q, in its place", err, want)
				}
				rest = rest[i+len(want):]
			}
		})
	}
}

func FuzzParseEndpointsFile(f *testing.F) {
	f.Add("endpoints:\n- address: a:1\n  metadata: {a: b}\n- b:1;weight=2, c:1\n")
	f.Add(`{"endpoints": [{"addresses": ["a:1", "unix:/x"]}]}`)
	f.Add("endpoints: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		endpoints, err := ParseEndpointsFile([]byte(text))
		if err != nil {
			if !IsPermanent(err) {
				t.Errorf("got %v", err)
			}
			return
		}
		for _, e := range endpoints {
			if _, problems := checkedEndpoint(e); len(problems) > 0 {
				t.Errorf("%+v: %v", e, problems)
			}
		}
	})
}

func TestFileTargets(t *testing.T) {
	tests := []struct{ target, want string }{
		{"file:///etc/endpoints.yaml", ""},
		{"file:///etc/a%20b.yaml", ""},
		{"file:etc/endpoints.yaml", "lacks the slashes"},
		{"file://etc/endpoints.yaml", "three slashes"},
		{"file:///", "path of a file is missing"},
		{"file:///a?b=c", "is a query"},
		{"file:///a#b", "is a fragment"},
	}
	for _, tt := range tests {
		err := Validate(tt.target, nil)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.target, err, tt.want)
		}
	}
}

// TestFileKeepsTheLastGoodList goes through the ways in which a file may be spoilt.
func TestFileKeepsTheLastGoodList(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	path := filepath.Join(dir, "endpoints.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target, _, err := ParseTarget("file://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := openFile(target)
	if err != nil {
		t.Fatal(err)
	}
	src.options = filewatch.Options{Debounce: time.Millisecond, Poll: time.Hour}
	w := src.Watch()
	defer w.Close()
	if _, err := w.Next(t.Context()); !errors.Is(err, os.ErrNotExist) || IsPermanent(err) {
		t.Fatalf("got %v of a file that is not there yet", err)
	}
	var v view
	until := func(what string, done func(ev Event) bool) {
		t.Helper()
		for {
			ev, err := w.Next(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			v.apply(ev)
			if done(ev) {
				return
			}
		}
	}
	list := func() string { return FormatEndpoints(SetOf(v.state()).Endpoints) }
	is := func(want string) func(Event) bool {
		return func(ev Event) bool { return ev.Stale == nil && list() == want }
	}
	stale := func(ev Event) bool { return ev.Stale != nil }
	write("endpoints: [a:1, b:1]")
	until("first", is("a:1,b:1"))
	for i, spoil := range []func(){
		func() { write("endpoints: [a:1, b") },
		func() { write("") },
		func() { write("endpoints: [{address: a:1, wieght: 2}]") },
		func() { _ = os.Remove(path) },
		func() { _ = os.RemoveAll(dir) },
	} {
		spoil()
		until(fmt.Sprint("spoilt ", i), stale)
		if list() != "a:1,b:1" {
			t.Errorf("way %d: got %s", i, list())
		}
		write("endpoints: [a:1, b:1]")
		until(fmt.Sprint("mended ", i), is("a:1,b:1"))
	}
	write("endpoints: []")
	until("empty", is(""))
}
