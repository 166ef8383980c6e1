// Command protoc-gen-goresilient is a plugin of protoc and buf that emits resilient gRPC clients beside the code of
// protoc-gen-go and protoc-gen-go-grpc.
//
//	protoc --go_out=gen --go-grpc_out=gen --goresilient_out=gen acme/inventory/v1/inventory.proto
//
// Run by hand it prints its version and its parameters, and writes the schema of its annotations into a folder:
//
//	protoc-gen-goresilient proto -o third_party
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protoc-gen-goresilient:", err)
		os.Exit(1)
	}
}

// run carries out a verb or, without arguments, a request of protoc or buf.
func run(args []string, in *os.File, out io.Writer) error {
	if len(args) > 0 {
		return runVerb(args, out)
	}
	if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return errors.New("this is a plugin: protoc or buf runs it and writes a request to its standard input\n\n" + usage)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the request from standard input: %w", err)
	}
	return respond(data, out)
}

func respond(request []byte, out io.Writer) error {
	if len(request) == 0 {
		return errors.New("standard input is empty; let protoc or buf run this program, which write a request to it")
	}
	req, err := decode(request)
	if err != nil {
		return fmt.Errorf("standard input is no CodeGeneratorRequest: %w; let protoc or buf run this program", err)
	}
	env := generator.Environment{ReadFile: os.ReadFile}
	if dir, err := os.Getwd(); err == nil {
		env.WorkingDirectory = dir
	}
	response, err := proto.Marshal(generator.Respond(req, env))
	if err != nil {
		return fmt.Errorf("encode the response: %w", err)
	}
	_, err = out.Write(response)
	return err
}

// decode reads a request. If the bytes of an option are not what the policy schema says, which protoc does not always
// see, it leaves all options undecoded: the generator then tells which one it is, and in which file.
func decode(request []byte) (*pluginpb.CodeGeneratorRequest, error) {
	req := new(pluginpb.CodeGeneratorRequest)
	err := proto.Unmarshal(request, req)
	if err == nil {
		return req, nil
	}
	raw := new(pluginpb.CodeGeneratorRequest)
	if (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(request, raw) != nil {
		return nil, err
	}
	return raw, nil
}
