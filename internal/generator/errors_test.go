package generator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goresilient/goresilient/internal/generator"
	schema "github.com/goresilient/goresilient/proto"
)

// TestErrors compares the whole error of a run with a golden text: as buf runs the plugin, with the position of each
// field, and as protoc 3.21 does, with the position of each statement.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name      string
		parameter string
	}{
		{name: "values"},
		{name: "unsafe"},
		{name: "hashkey"},
		{name: "effective"},
		{name: "clash"},
		{name: "document", parameter: "policy=testdata/errors/document.yaml"},
		{name: "broken", parameter: "policy=testdata/errors/broken.yaml"},
		{name: "idle"},
		{name: "foreign"},
		{name: "levels"},
		{name: "newer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "errors")
			src := fromDisk(t, dir, "")
			if test.name == "newer" {
				src[schema.PolicyPath] = newerSchema()
			}
			req := compile(t, src, test.parameter, test.name+".proto")
			files, fields := respond(req, generator.Environment{})
			_, statements := respond(wire(t, withoutLeaves(req)), generator.Environment{})
			if len(files) > 0 || fields == "" {
				t.Fatalf("the run gave %d files and the error %q; want an error alone", len(files), fields)
			}
			got := "with the position of each field:\n" + fields + "\n\nwith the position of each statement:\n" + statements + "\n"
			golden := filepath.Join(dir, test.name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// newerSchema is the policy schema of a version to come.
func newerSchema() string {
	return strings.NewReplacer(
		"\nmessage MethodPolicy {", "\nmessage MethodPolicy {\n  optional string newest = 100;",
		"\nmessage Dial {", "\nmessage Dial {\n  optional bool newer = 100;",
		"extend google.protobuf.FileOptions {", "extend google.protobuf.FileOptions {\n  optional string tomorrow = 4711;",
		"extend google.protobuf.ServiceOptions {", "extend google.protobuf.ServiceOptions {\n  optional bool service_tomorrow = 4711;",
	).Replace(schema.Policy)
}
