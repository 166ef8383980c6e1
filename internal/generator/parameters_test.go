package generator_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goresilient/goresilient/internal/generator"
)

// small has a service with policy and one without, in two files.
var small = sources{
	"a/v1/a.proto": `syntax = "proto3"; package a.v1; import "goresilient/v1/policy.proto"; option go_package = "example.com/gen/a/v1;av1";
message M {}
service S { option (goresilient.v1.service).target = "static:///a:1"; rpc Get(M) returns (M); }`,
	"b/v1/b.proto": `syntax = "proto3"; package b.v1; option go_package = "example.com/gen/b/v1;bv1";
message M {}
service T { rpc Get(M) returns (M); }`,
	"c/v1/c.proto": `syntax = "proto3"; package c.v1; option go_package = "example.com/gen/c/v1;cv1"; message M {}`,
}

func TestParametersDecideWhatIsWritten(t *testing.T) {
	for _, test := range []struct {
		parameter string
		want      []string
	}{
		{"", []string{"example.com/gen/a/v1/a_goresilient.pb.go", "example.com/gen/b/v1/b_goresilient.pb.go"}},
		{"paths=import", []string{"example.com/gen/a/v1/a_goresilient.pb.go", "example.com/gen/b/v1/b_goresilient.pb.go"}},
		{"paths=source_relative", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
		{"module=example.com/gen", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
		{"Mb/v1/b.proto=example.com/other", []string{"example.com/gen/a/v1/a_goresilient.pb.go", "example.com/other/b_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=true", []string{"a/v1/a_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only", []string{"a/v1/a_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=false", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=true,policy=p.yaml", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
		{"paths=source_relative,package_suffix=resilient", []string{"a/v1/av1resilient/a_goresilient.pb.go", "b/v1/bv1resilient/b_goresilient.pb.go"}},
		{"module=example.com/gen,package_suffix=x", []string{"a/v1/av1x/a_goresilient.pb.go", "b/v1/bv1x/b_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=true,policy=defaults.yaml", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=true,policy=empty.yaml", []string{"a/v1/a_goresilient.pb.go"}},
		{"paths=source_relative,annotated_only=true,policy=traits.yaml", []string{"a/v1/a_goresilient.pb.go", "b/v1/b_goresilient.pb.go"}},
	} {
		t.Run(test.parameter, func(t *testing.T) {
			env := generator.Environment{ReadFile: func(name string) ([]byte, error) {
				switch name {
				case "defaults.yaml":
					return []byte(`{"version": "goresilient.v1", "defaults": {"dial": {"block": true}}}`), nil
				case "empty.yaml":
					return []byte(`{"version": "goresilient.v1", "defaults": {}, "services": {"b.v1.T": {"policy": {}, "methods": {"Get": {}}, "traits": {"Get": {}}}}}`), nil
				case "traits.yaml":
					return []byte(`{"version": "goresilient.v1", "services": {"b.v1.T": {"traits": {"Get": {"idempotentBecause": "it is"}}}}}`), nil
				}
				return []byte(`{"version": "goresilient.v1", "services": {"b.v1.T": {"methods": {"Get": {"waitForReady": true}}}}}`), nil
			}}
			got, problem := respond(compile(t, small, test.parameter, slices.Sorted(maps.Keys(small))...), env)
			if problem != "" {
				t.Fatal(problem)
			}
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, test.want) {
				t.Errorf("got %v, want %v", names, test.want)
			}
		})
	}
}

func TestParameterErrors(t *testing.T) {
	for _, test := range []struct {
		parameter, document string
		want                []string
	}{
		{"anotated_only=true", "", []string{`unknown parameter "anotated_only"`, "annotated_only=true", "policy=FILE", "package_suffix=", "paths=", "module=", "MFILE="}},
		{"annotated_only=maybe", "", []string{`"annotated_only" has the value "maybe"; write true or false`}},
		{"policy=a,policy=b", "", []string{`"policy" is given twice; remove one`}},
		{"policy", "", []string{`"policy" names no file; write policy=FILE`}},
		{"package_suffix=a-b", "", []string{`"package_suffix" has the value "a-b"`}},
		{"package_suffix=é", "", []string{`"package_suffix" has the value "é"`, "write lower-case letters and digits"}},
		{"package_suffix=X", "", []string{`"package_suffix" has the value "X"`}},
		{"package_suffix=_test", "", []string{`"package_suffix" has the value "_test"`}},
		{"policy=a,b.yaml", "", []string{`unknown parameter "b.yaml" (a comma ends the value before it, that of "policy": no value can have one)`}},
		{"policy=absent.yaml", "", []string{"absent.yaml: parameter policy: open absent.yaml: no such file or directory; the path is relative to"}},
		{"policy=p.yaml", "version: goresilient.v1\ndefaults: {nonsense: 1}\n", []string{"p.yaml:2:12: defaults.nonsense: is not a field here; write one of target"}},
	} {
		t.Run(test.parameter, func(t *testing.T) {
			var env generator.Environment
			if test.document != "" {
				env.ReadFile = func(string) ([]byte, error) { return []byte(test.document), nil }
			}
			files, got := respond(compile(t, small, test.parameter, slices.Sorted(maps.Keys(small))...), env)
			if len(files) > 0 {
				t.Errorf("files were written: %v", slices.Collect(maps.Keys(files)))
			}
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("the error is %q; want %q in it", got, want)
				}
			}
		})
	}
}

// TestEmptyAnnotations: an option that sets nothing is no policy.
func TestEmptyAnnotations(t *testing.T) {
	src := sources{"a.proto": `syntax = "proto3"; package a; import "goresilient/v1/policy.proto"; option go_package = "example.com/a";
option (goresilient.v1.file) = {};
message M {}
service S { option (goresilient.v1.service) = {}; rpc Get(M) returns (M) {
  option (goresilient.v1.method) = {}; option (goresilient.v1.traits) = {};
} }`}
	if files, problem := respond(compile(t, src, "annotated_only=true", "a.proto"), generator.Environment{}); len(files) > 0 || problem != "" {
		t.Errorf("got %v, %q; want nothing", files, problem)
	}
}
