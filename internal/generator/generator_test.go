package generator_test

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
	"github.com/goresilient/goresilient/templates"
)

// generateOne runs the generator over one file and returns what it writes.
func generateOne(t *testing.T, req *pluginpb.CodeGeneratorRequest) string {
	t.Helper()
	files, problem := respond(req, generator.Environment{})
	if problem != "" {
		t.Fatal(problem)
	}
	for _, content := range files {
		return content
	}
	t.Fatal("no file was written")
	return ""
}

func TestFeatures(t *testing.T) {
	resp := generator.Respond(compile(t, small, "", "a/v1/a.proto"), generator.Environment{})
	const want = pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS
	if got := resp.GetSupportedFeatures(); got != uint64(want) {
		t.Errorf("supported features are %b, want %b", got, want)
	}
	if got := descriptorpb.Edition(resp.GetMinimumEdition()); got != descriptorpb.Edition_EDITION_PROTO2 {
		t.Errorf("the minimum edition is %v", got)
	}
	if got := descriptorpb.Edition(resp.GetMaximumEdition()); got != descriptorpb.Edition_EDITION_2024 {
		t.Errorf("the maximum edition is %v", got)
	}
}

func TestEdition2024GivesTheSameCode(t *testing.T) {
	req := compile(t, fromDisk(t, "golden", "edition"), "", "edition/edition.proto")
	older := generateOne(t, req)
	for _, file := range req.ProtoFile {
		if file.GetSyntax() == "editions" {
			file.Edition = descriptorpb.Edition_EDITION_2024.Enum()
		}
	}
	if newer := generateOne(t, wire(t, req)); newer != older {
		t.Errorf("edition 2024 gives\n%s\nedition 2023 gave\n%s", newer, older)
	}
}

func TestPositionsMayBeMissing(t *testing.T) {
	req := compile(t, fromDisk(t, "golden", "document"), "", "document/document.proto")
	for _, file := range req.ProtoFile {
		file.SourceCodeInfo = nil
	}
	if got := generateOne(t, wire(t, req)); strings.Contains(got, "Lines") {
		t.Errorf("lines out of nothing:\n%s", got)
	}
	req = compile(t, fromDisk(t, "testdata/errors", ""), "", "unsupported.proto")
	for _, file := range req.ProtoFile {
		file.SourceCodeInfo = nil
	}
	if _, got := respond(wire(t, req), generator.Environment{}); !strings.HasPrefix(got, "unsupported.proto: errors.v1.S: ") {
		t.Errorf("the error is %q", got)
	}
}

func TestCompilerVersionLeavesNoTrace(t *testing.T) {
	req := compile(t, small, "", "a/v1/a.proto")
	before := generateOne(t, req)
	req.CompilerVersion = &pluginpb.Version{Major: proto.Int32(3), Minor: proto.Int32(21)}
	if after := generateOne(t, req); after != before {
		t.Errorf("a compiler version gives\n%s\nwithout one it was\n%s", after, before)
	}
}

// TestLocalsNeverHidePackages uses names that protoc-gen-go-grpc cannot cope with, so that no golden can have them.
func TestLocalsNeverHidePackages(t *testing.T) {
	src := sources{"s.proto": `syntax = "proto3"; import "opts.proto"; import "client.proto"; import "err.proto"; option go_package = "example.com/s";
service S { rpc A(o.M) returns (o.M); rpc B(c.M) returns (c.M); rpc C(e.M) returns (e.M); }`}
	for pkg, base := range map[string]string{"o": "opts", "c": "client", "e": "err"} {
		src[base+".proto"] = `syntax = "proto3"; package ` + pkg + `; option go_package = "example.com/` + base + `"; message M {}`
	}
	got := generateOne(t, compile(t, src, "", "s.proto"))
	for _, want := range []string{
		"(opts_ ...goresilient.Option)",
		"client_, err_ := goresilient.NewClient(&sResilience, opts_...)",
		"goresilient.NewUnaryMethod[opts.M, opts.M](client_, \"A\")",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestCommentsNeverBecomeDirectives(t *testing.T) {
	got := generateOne(t, compile(t, sources{"s.proto": `syntax = "proto3"; option go_package = "example.com/s"; message M {}
//go:embed secret
service S {
  //go:noinline
  //plain
  rpc Get(M) returns (M);
}`}, "", "s.proto"))
	for _, want := range []string{"\n// go:embed secret\n", "\n// go:noinline\n// plain\nfunc "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", got, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:") {
				t.Errorf("%q is a directive", c.Text)
			}
		}
	}
}

func TestNoServicesNoFile(t *testing.T) {
	files, problem := respond(compile(t, small, "", "c/v1/c.proto"), generator.Environment{})
	if len(files) > 0 || problem != "" {
		t.Errorf("got %v, %q; want neither file nor error", files, problem)
	}
}

func TestTemplatesParse(t *testing.T) {
	tmpl, err := templates.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.Lookup("file") == nil || tmpl.Lookup("service") == nil {
		t.Errorf("the templates are %s", tmpl.DefinedTemplates())
	}
}
