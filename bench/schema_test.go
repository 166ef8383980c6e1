package bench_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	schema "github.com/goresilient/goresilient/proto"
)

const (
	schemaServices = 500 // one a file, every other one annotated
	schemaRPCs     = 10  // of a service, the last one a stream
)

// serviceSource returns the source of one service.
func serviceSource(i int) string {
	annotated := i%2 == 0
	var b strings.Builder
	fmt.Fprintf(&b, "syntax = \"proto3\";\n\npackage big.s%d;\n\noption go_package = \"example.com/big/s%[1]d\";\n", i)
	if annotated {
		fmt.Fprintf(&b, "import %q;\n", schema.PolicyPath)
	}
	fmt.Fprintf(&b, "// Request names something.\nmessage Request {\n  // Its identifier.\n  string id = 1;\n}\n\n"+
		"// Response is something.\nmessage Response {\n  // Its identifier.\n  string id = 1;\n}\n\n// Service%d is one of many.\nservice Service%[1]d {\n", i)
	if annotated {
		fmt.Fprintf(&b, `  option (goresilient.v1.service) = {
    target: "dns:///s%d:443"
    load_balancing: {least_request: {choices: 3}}
    dial: {timeout: "3s" min_ready: 2}
    connection: {keepalive: {time: "30s"}}
    method_defaults: {timeout: {total: "1s"}}
  };

`, i)
	}
	for j := range schemaRPCs {
		stream := ""
		if j == schemaRPCs-1 {
			stream = "stream "
		}
		fmt.Fprintf(&b, "  // Get%d returns something.\n  rpc Get%[1]d(Request) returns (%sResponse) {\n", j, stream)
		if j < 3 {
			b.WriteString("    option idempotency_level = NO_SIDE_EFFECTS;\n")
			if annotated {
				fmt.Fprintf(&b, "    option (goresilient.v1.method) = {timeout: {total: \"%dms\"}};\n", 100+j)
			}
		}
		b.WriteString("  }\n\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// largeRequest returns what protoc would write to a plugin for a large schema.
func largeRequest(tb testing.TB) []byte {
	sources := map[string]string{schema.PolicyPath: schema.Policy}
	req := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	for i := range schemaServices {
		name := fmt.Sprintf("big/s%d/service.proto", i)
		sources[name] = serviceSource(i)
		req.FileToGenerate = append(req.FileToGenerate, name)
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(tb.Context(), req.FileToGenerate...)
	if err != nil {
		tb.Fatal(err)
	}
	seen := make(map[string]bool)
	var add func(linker.File) // the imports of a file come before it
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
	for _, f := range files {
		add(f)
	}
	data, err := proto.Marshal(req)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
