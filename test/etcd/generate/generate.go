package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
)

const (
	source = "etcd/api/etcdserverpb/rpc.proto"
	// parameter puts the clients into a folder below dir, though etcd's go_package is in etcd's own module.
	parameter = "module=" + apiModule + ",package_suffix=resilient,policy=policy.yaml"
)

// generate returns the generated files by their path relative to dir, which holds the policy document.
func generate(ctx context.Context, dir string) (map[string]string, error) {
	req, err := newRequest(ctx)
	if err != nil {
		return nil, err
	}
	resp := generator.Respond(req, generator.Environment{
		ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) },
	})
	if resp.Error != nil {
		return nil, errors.New(resp.GetError())
	}
	files := make(map[string]string)
	for _, f := range resp.GetFile() {
		files[f.GetName()] = f.GetContent()
	}
	return files, nil
}

// newRequest returns what protoc would write to the plugin's standard input.
func newRequest(ctx context.Context) (*pluginpb.CodeGeneratorRequest, error) {
	protos, err := compile(ctx, source)
	if err != nil {
		return nil, err
	}
	// Through the wire: the compiler knows options by other types than the plugin does.
	data, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{source},
		Parameter:      proto.String(parameter),
		ProtoFile:      protos,
	})
	if err != nil {
		return nil, err
	}
	req := new(pluginpb.CodeGeneratorRequest)
	return req, proto.Unmarshal(data, req)
}
