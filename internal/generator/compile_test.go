package generator_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
	schema "github.com/goresilient/goresilient/proto"
)

// sources are protos by path.
type sources map[string]string

// fromDisk adds the protos below the folder root/dir, with paths relative to root.
func fromDisk(t testing.TB, root, dir string) sources {
	t.Helper()
	found := make(sources)
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// compile builds the request that buf would send for the files.
func compile(t testing.TB, src sources, parameter string, files ...string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	all := map[string]string{schema.PolicyPath: schema.Policy, "google/protobuf/go_features.proto": goFeatures}
	for name, text := range src {
		all[name] = text
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(all)}),
		SourceInfoMode: protocompile.SourceInfoStandard | protocompile.SourceInfoExtraOptionLocations,
	}
	compiled, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		t.Fatal(err)
	}
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: proto.String(parameter)}
	seen := make(map[string]bool)
	var add func(f linker.File)
	add = func(f linker.File) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.FindImportByPath(f.Imports().Get(i).Path()))
		}
		req.ProtoFile = append(req.ProtoFile, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range compiled {
		add(f)
	}
	return wire(t, req)
}

// wire sends a request through its encoding, as a plugin gets it.
func wire(t testing.TB, req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	data, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	out := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// respond runs the generator and returns the files by name, or the error.
func respond(req *pluginpb.CodeGeneratorRequest, env generator.Environment) (map[string]string, string) {
	if env.ReadFile == nil {
		env.ReadFile = os.ReadFile
	}
	resp := generator.Respond(req, env)
	files := make(map[string]string)
	for _, f := range resp.GetFile() {
		files[f.GetName()] = f.GetContent()
	}
	return files, resp.GetError()
}

// withoutLeaves turns the locations that buf gives into those of protoc: for each option, the statement alone.
func withoutLeaves(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorRequest {
	req = proto.CloneOf(req)
	for _, file := range req.ProtoFile {
		paths := make(map[string]bool)
		var kept []*descriptorpb.SourceCodeInfo_Location
		for _, loc := range file.GetSourceCodeInfo().GetLocation() {
			paths[pathKey(loc.Path)] = true
		}
		for _, loc := range file.GetSourceCodeInfo().GetLocation() {
			if !insideOption(loc.Path, paths) {
				kept = append(kept, loc)
			}
		}
		if file.SourceCodeInfo != nil {
			file.SourceCodeInfo.Location = kept
		}
	}
	return req
}

// insideOption tells whether p is a location in the value of an option that has a location as a whole.
func insideOption(p []int32, paths map[string]bool) bool {
	for i, n := range p {
		if n > 1000 { // the number of an extension
			for j := i + 1; j < len(p); j++ {
				if paths[pathKey(p[:j])] {
					return true
				}
			}
		}
	}
	return false
}

func pathKey(p []int32) string {
	key := make([]byte, 0, 4*len(p))
	for _, n := range p {
		key = append(key, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return string(key)
}

// goFeatures is the part of google/protobuf/go_features.proto that the tests use.
const goFeatures = `
syntax = "proto2";
package pb;
import "google/protobuf/descriptor.proto";
option go_package = "google.golang.org/protobuf/types/gofeaturespb";
extend google.protobuf.FeatureSet { optional GoFeatures go = 1002; }
message GoFeatures {
  enum APILevel { API_LEVEL_UNSPECIFIED = 0; API_OPEN = 1; API_HYBRID = 2; API_OPAQUE = 3; }
  optional APILevel api_level = 2 [
    retention = RETENTION_RUNTIME, targets = TARGET_TYPE_MESSAGE, targets = TARGET_TYPE_FILE,
    feature_support = {edition_introduced: EDITION_2023},
    edition_defaults = {edition: EDITION_LEGACY, value: "API_LEVEL_UNSPECIFIED"},
    edition_defaults = {edition: EDITION_2024, value: "API_OPAQUE"}
  ];
}
`
