package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCommittedFilesAreCurrent: what is committed is what policy.yaml, the plugin and etcd's protos give today.
func TestCommittedFilesAreCurrent(t *testing.T) {
	const dir = ".."
	files, err := generate(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var committed []string
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "_goresilient.pb.go") {
			committed = append(committed, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(maps.Keys(files)); len(want) == 0 || !slices.Equal(committed, want) {
		t.Errorf("the files are %v, want %v; run: go generate ./etcd", committed, want)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is out of date; run: go generate ./etcd", name)
		}
	}
}
