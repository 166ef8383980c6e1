package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "go.etcd.io/etcd/api/v3/etcdserverpb" // links in the descriptors that its protos import
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	apiModule = "go.etcd.io/etcd/api/v3"
	// apiPrefix is how etcd's protos import each other; what follows is the path in the module.
	apiPrefix = "etcd/api/"
)

// compile returns the descriptors of name and of all that it imports, each after its own imports.
func compile(ctx context.Context, name string) ([]*descriptorpb.FileDescriptorProto, error) {
	dir, err := moduleDir(ctx, apiModule)
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{Resolver: resolver(dir), SourceInfoMode: protocompile.SourceInfoStandard}
	compiled, err := compiler.Compile(ctx, name)
	if err != nil {
		return nil, err
	}
	var protos []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		protos = append(protos, protoutil.ProtoFromFileDescriptor(f))
	}
	add(compiled[0])
	return protos, nil
}

// resolver finds etcd's protos in the folder of its module, and all others among the descriptors linked in.
func resolver(dir string) protocompile.Resolver {
	return protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
		path, ok := strings.CutPrefix(name, apiPrefix)
		if !ok {
			desc, err := protoregistry.GlobalFiles.FindFileByPath(name)
			return protocompile.SearchResult{Desc: desc}, err
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		return protocompile.SearchResult{Source: bytes.NewReader(text)}, err
	})
}

// moduleDir returns the folder of a module that this one requires.
func moduleDir(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("look for module %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("module %s is not downloaded; run: go mod download %[1]s", module)
	}
	return dir, nil
}
