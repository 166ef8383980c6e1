package generator_test

import (
	"go/build/constraint"
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
	req = compile(t, fromDisk(t, "testdata/errors", ""), "", "unsafe.proto")
	for _, file := range req.ProtoFile {
		file.SourceCodeInfo = nil
	}
	if _, got := respond(wire(t, req), generator.Environment{}); !strings.HasPrefix(got, "unsafe.proto: errors.v1.S.Idempotent: ") {
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

// TestKeysOfPackagesNamedAsLocals: what generated code calls its parameters may hide the package of a request from the body,
// which names no request; it must not hide the runtime.
func TestKeysOfPackagesNamedAsLocals(t *testing.T) {
	src := sources{"s.proto": `syntax = "proto3"; import "goresilient/v1/policy.proto"; import "in.proto"; import "opts.proto"; import "c.proto"; import "rt.proto";
option go_package = "example.com/s";
service S {
  rpc A(i.M) returns (i.M) { option (.goresilient.v1.traits).hash_key = "id"; }
  rpc B(i.M) returns (stream i.M) { option (.goresilient.v1.traits).hash_key = "id"; }
  rpc C(o.M) returns (stream o.M) { option (.goresilient.v1.traits).hash_key = "id"; }
  rpc D(p.M) returns (stream p.M) { option (.goresilient.v1.traits).hash_key = "id"; }
  rpc E(r.M) returns (r.M) { option (.goresilient.v1.traits).hash_key = "id"; }
  rpc F(r.M) returns (stream r.M) { option (.goresilient.v1.traits).hash_key = "id"; }
}`}
	for file, names := range map[string][2]string{"in": {"i", "in"}, "opts": {"o", "opts"}, "c": {"p", "c"}, "rt": {"r", "goresilient"}} {
		src[file+".proto"] = `syntax = "proto3"; package ` + names[0] + `; option go_package = "example.com/` + names[1] + `"; message M { string id = 1; }`
	}
	got := generateOne(t, compile(t, src, "", "s.proto"))
	const hash = "goresilient.HashString(in.GetId())"
	for _, want := range []string{
		"HashedBy(func(in *in.M) uint64 { return " + hash + " })",
		"HashedBy(func(in *goresilient1.M) uint64 { return " + hash + " })",
		") B(ctx context.Context, in *in.M, opts ...grpc.CallOption) (S_BClient, error) {\n\treturn c.stub.B(ctx, in, goresilient.Keyed(c.Client, " + hash + ", opts)...)",
		") C(ctx context.Context, in *opts.M, opts ...grpc.CallOption) (S_CClient, error) {\n\treturn c.stub.C(ctx, in, goresilient.Keyed(c.Client, " + hash + ", opts)...)",
		") D(ctx context.Context, in *c.M, opts ...grpc.CallOption) (S_DClient, error) {\n\treturn c.stub.D(ctx, in, goresilient.Keyed(c.Client, " + hash + ", opts)...)",
		") F(ctx context.Context, in *goresilient1.M, opts ...grpc.CallOption) (S_FClient, error) {\n\treturn c.stub.F(ctx, in, goresilient.Keyed(c.Client, " + hash + ", opts)...)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestDeprecatedKeys: linters report the use of a deprecated field of another package alone.
func TestDeprecatedKeys(t *testing.T) {
	const message = `message M { Part part = 1 [deprecated = true]; string id = 2; } message Part { string id = 1; }`
	for _, test := range []struct {
		name, importPath, key string
		want                  bool
	}{
		{"another package", "example.com/other", "part.id", true},
		{"another field", "example.com/other", "id", false},
		{"the same package", "example.com/s", "part.id", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := generateOne(t, compile(t, sources{
				"o.proto": `syntax = "proto3"; package o; option go_package = "` + test.importPath + `"; ` + message,
				"s.proto": `syntax = "proto3"; import "o.proto"; import "goresilient/v1/policy.proto"; option go_package = "example.com/s"; message A {}
service S { rpc Get(o.M) returns (A) { option (.goresilient.v1.traits).hash_key = "` + test.key + `"; } }`,
			}, "", "s.proto"))
			if strings.Contains(got, "//lint:file-ignore SA1019") != test.want {
				t.Errorf("the linter is told otherwise than %v in\n%s", test.want, got)
			}
		})
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

// TestCommentsNeverBecomeBuildConstraints: the printer of Go source turns a line "// +build" anywhere into a constraint
// on the file.
func TestCommentsNeverBecomeBuildConstraints(t *testing.T) {
	got := generateOne(t, compile(t, sources{"s.proto": `syntax = "proto3"; option go_package = "example.com/s"; message M {}
// +build linux,!cgo
service S {
  // Get gets.
  //
  //+build ignore
  rpc Get(M) returns (M);
}`}, "", "s.proto"))
	for _, want := range []string{"\n// \"+build linux,!cgo\"\n", "\n//\n// \"+build ignore\"\nfunc "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if constraint.IsGoBuild(line) || constraint.IsPlusBuild(line) {
			t.Errorf("%q is a build constraint", line)
		}
	}
}

func TestCommentsOfAnyForm(t *testing.T) {
	for _, test := range []struct{ name, comment, want string }{
		{"as in Java", "/**\n * Get gets.\n * Always.\n */", "// Get gets.\n// Always.\n"},
		{"as in Java, on one line", "/** Get gets. */", "// Get gets.\n"},
		{"empty as in Java", "/** */", "// Get calls S/Get.\n"},
		{"a list of stars", "//* one\n//* two", "// * one\n// * two\n"},
		{"byte order mark", "// a\uFEFFb", "// ab\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := generateOne(t, compile(t, sources{"s.proto": `syntax = "proto3"; option go_package = "example.com/s"; message M {}
service S {
` + test.comment + `
rpc Get(M) returns (M); }`}, "", "s.proto"))
			if want := "\n" + test.want + "func (c *SResilientClient) Get("; !strings.Contains(got, want) {
				t.Errorf("%q is missing in\n%s", want, got)
			}
		})
	}
}

// TestCommentsThatAreNoText: descriptors are not always from a compiler that looks at the bytes of comments.
func TestCommentsThatAreNoText(t *testing.T) {
	req := compile(t, sources{"s.proto": `syntax = "proto3"; option go_package = "example.com/s"; message M {}
service S {
  // Get gets.
  rpc Get(M) returns (M);
}`}, "", "s.proto")
	for _, file := range req.ProtoFile {
		for _, loc := range file.GetSourceCodeInfo().GetLocation() {
			if loc.LeadingComments != nil {
				loc.LeadingComments = proto.String(" a\xffb\x00c\n")
			}
		}
	}
	if got := generateOne(t, req); !strings.Contains(got, "\n// a\uFFFDbc\nfunc ") {
		t.Errorf("got\n%s", got)
	}
}

func TestFileNamesStayInTheirComment(t *testing.T) {
	for name, want := range map[string]string{
		"a\nb.proto":   `// source: "a\nb.proto"`,
		"+build.proto": `// source: "+build.proto"`,
		"ä b.proto":    `// source: ä b.proto`,
	} {
		got := generateOne(t, compile(t, sources{name: `syntax = "proto3"; option go_package = "example.com/s"; message M {}
service S { rpc Get(M) returns (M); }`}, "", name))
		if !strings.Contains(got, want+"\n\npackage s\n") {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestDeprecationBeginsAParagraph(t *testing.T) {
	const mark = "// Deprecated: Do not use.\n"
	for _, test := range []struct{ comment, want string }{
		{"// Get gets.", "// Get gets.\n//\n" + mark},
		{"// Deprecated: use Put.", "// Deprecated: use Put.\n"},
		{"// Get gets.\n//\n// Deprecated: use Put.", "// Get gets.\n//\n// Deprecated: use Put.\n"},
		{"// Get gets.\n// Deprecated: use Put.", "// Get gets.\n// Deprecated: use Put.\n//\n" + mark},
		{"// Get gets.\n//\n//   Deprecated: in code", "// Get gets.\n//\n//\tDeprecated: in code\n//\n" + mark},
	} {
		got := generateOne(t, compile(t, sources{"s.proto": `syntax = "proto3"; option go_package = "example.com/s"; message M {}
service S {
` + test.comment + `
rpc Get(M) returns (M) { option deprecated = true; } }`}, "", "s.proto"))
		if want := "\n" + test.want + "func (c *SResilientClient) Get("; !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestDocumentNameIsThatOfNoMachine: a policy document is named in generated code, and its folder may not be.
func TestDocumentNameIsThatOfNoMachine(t *testing.T) {
	for given, want := range map[string]string{
		"policy.yaml":                "policy.yaml",
		"./conf/../conf/policy.yaml": "conf/policy.yaml",
		"../policy.yaml":             "../policy.yaml",
		"/home/me/p/conf/a.yaml":     "conf/a.yaml",
		"/home/me/policy.yaml":       "policy.yaml",
		"/home/me/pp/policy.yaml":    "policy.yaml",
	} {
		env := generator.Environment{
			WorkingDirectory: "/home/me/p",
			ReadFile: func(string) ([]byte, error) {
				return []byte("version: goresilient.v1\ndefaults: {target: 'dns:///a'}\n" +
					"services: {a.v1.S: {policy: {dial: {}}, methods: {Get: {wait_for_ready: true}}}}"), nil
			},
		}
		files, problem := respond(compile(t, small, "policy="+given, "a/v1/a.proto"), env)
		if problem != "" {
			t.Fatal(problem)
		}
		for _, content := range files {
			if n := strings.Count(content, `"`+want+`"`); n != 3 || strings.Contains(content, "/home") {
				t.Errorf("%s: %q stands there %d times, want one for each level, in\n%s", given, want, n, content)
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
