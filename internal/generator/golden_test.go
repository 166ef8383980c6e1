package generator_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldens are the folders of golden/: packages that the whole build compiles, together with the code of protoc-gen-go
// and protoc-gen-go-grpc for the same protos.
var goldens = []struct {
	name      string
	parameter string
	files     []string
}{
	{name: "inventory", files: []string{"inventory/inventory.proto"}},
	{name: "everything", files: []string{"everything/everything.proto"}},
	{name: "names", files: []string{"names/messages.proto", "names/names.proto", "names/proto2.proto"}},
	{name: "imports", files: []string{"imports/imports.proto"}},
	{name: "plain", files: []string{"plain/plain.proto"}},
	{name: "edition", files: []string{"edition/edition.proto"}},
	{name: "suffix", parameter: "annotated_only=true,package_suffix=resilient", files: []string{"suffix/suffix.proto"}},
	{name: "stubResilience", parameter: "package_suffix=resilient", files: []string{"stubResilience/stub.proto"}},
	{name: "deprecated", parameter: "package_suffix=resilient", files: []string{"deprecated/deprecated.proto"}},
	{name: "document", parameter: "policy=golden/document/policy.yaml", files: []string{"document/document.proto"}},
	{name: "hashkey", files: []string{"hashkey/hashkey.proto", "hashkey/proto2.proto", "hashkey/opaque.proto"}},
	{name: "several", files: []string{"several/a.proto", "several/b.proto"}},
}

func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			env := generator.Environment{}
			req := compile(t, fromDisk(t, "golden", g.name), joinParameters("paths=source_relative", g.parameter), g.files...)
			got, problem := respond(req, env)
			if problem != "" {
				t.Fatal(problem)
			}
			if *update {
				write(t, got)
			}
			for name, content := range got {
				want, err := os.ReadFile(filepath.Join("golden", name))
				if err != nil {
					t.Fatal(err)
				}
				if string(want) != content {
					t.Errorf("%s differs from the golden file; see what -update makes of it:\n%s", name, content)
				}
			}
			if stored := storedGoldens(t, g.name); !slices.Equal(stored, slices.Sorted(maps.Keys(got))) {
				t.Errorf("the run gives %v; the golden files are %v", slices.Sorted(maps.Keys(got)), stored)
			}
			t.Run("statement positions", func(t *testing.T) { sameFiles(t, withoutLeaves(req), env, got) })
			t.Run("twice", func(t *testing.T) { sameFiles(t, req, env, got) })
			t.Run("shuffled", func(t *testing.T) { sameFiles(t, shuffled(req), env, got) })
		})
	}
}

func joinParameters(a, b string) string {
	if b == "" {
		return a
	}
	return a + "," + b
}

func write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join("golden", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// storedGoldens returns the golden files of a folder, relative to golden.
func storedGoldens(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*_goresilient.pb.go", "*/*_goresilient.pb.go"} {
		paths, err := filepath.Glob(filepath.Join("golden", dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, err := filepath.Rel("golden", path)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, filepath.ToSlash(name))
		}
	}
	slices.Sort(found)
	return found
}

func sameFiles(t *testing.T, req *pluginpb.CodeGeneratorRequest, env generator.Environment, want map[string]string) {
	t.Helper()
	got, problem := respond(wire(t, req), env)
	if problem != "" {
		t.Fatal(problem)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the files differ:\n%v\nwant\n%v", got, want)
	}
}

// shuffled puts the files to generate into another order, which protoc takes from its command line, and the
// descriptors too.
func shuffled(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorRequest {
	out := &pluginpb.CodeGeneratorRequest{
		Parameter:      req.Parameter,
		FileToGenerate: slices.Clone(req.FileToGenerate),
		ProtoFile:      slices.Clone(req.ProtoFile),
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(out.FileToGenerate), func(i, j int) {
		out.FileToGenerate[i], out.FileToGenerate[j] = out.FileToGenerate[j], out.FileToGenerate[i]
	})
	r.Shuffle(len(out.ProtoFile), func(i, j int) { out.ProtoFile[i], out.ProtoFile[j] = out.ProtoFile[j], out.ProtoFile[i] })
	return out
}

// TestExampleIsCurrent holds the example's client against what the generator makes of its proto.
func TestExampleIsCurrent(t *testing.T) {
	const root = "../../example/proto"
	req := compile(t, fromDisk(t, root, "acme/inventory/v1"), "paths=source_relative", "acme/inventory/v1/inventory.proto")
	got, problem := respond(req, generator.Environment{})
	if problem != "" {
		t.Fatal(problem)
	}
	for name, content := range got {
		stored, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(stored) != content {
			t.Errorf("%s is not current; run make generate", name)
		}
	}
}
