// Docgen writes the policy reference, docs/policy.md, from the comments of the policy schema. Run it in the root of the
// repository after a change of the schema:
//
//	go run ./internal/docgen
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	protoRoot  = "proto"
	schemaFile = "goresilient/v1/policy.proto"
	reference  = "docs/policy.md"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func write() error {
	schema, err := compile(protoRoot)
	if err != nil {
		return fmt.Errorf("%w; run docgen in the root of the repository", err)
	}
	text, err := render(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(reference, text, 0o644)
}

// compile reads the schema beneath root with its comments.
func compile(root string) (protoreflect.FileDescriptor, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), schemaFile)
	if err != nil {
		return nil, err
	}
	return files[0], nil
}
