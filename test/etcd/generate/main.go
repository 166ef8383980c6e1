// Command generate writes the clients of etcd's own API below the working directory, which is test/etcd:
//
//	go generate ./etcd
//
// It stands for protoc. etcd's protos import some of Google's and of grpc-gateway's, which Go modules carry as compiled
// descriptors alone; it takes etcd's own from the module, with their comments, and the others from what is linked in.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(context.Background(), "."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes the files below dir, which holds the policy document.
func run(ctx context.Context, dir string) error {
	files, err := generate(ctx, dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
