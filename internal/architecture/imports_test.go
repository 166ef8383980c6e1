// Package architecture holds the rules about which package may import which.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/goresilient/goresilient"

// rule says what a package, and those below it, may import beyond the standard library. An entry allows the package of that
// path and those below it. The first rule that fits a package counts.
type rule struct {
	packages string
	may      []string
}

var rules = []rule{
	{"proto", []string{"google.golang.org/protobuf"}},
	{"templates", nil},
	{"internal/annotation", []string{module + "/proto", module + "/runtime/policy", "google.golang.org/protobuf", "google.golang.org/grpc/codes"}},
	{"internal/generator/golden", []string{module + "/runtime", module + "/proto", module + "/internal/generator/golden", "google.golang.org/grpc", "google.golang.org/protobuf"}},
	{"internal/generator", []string{
		module + "/internal/annotation", module + "/templates", module + "/proto", module + "/runtime/policy",
		"google.golang.org/protobuf", "google.golang.org/grpc/codes",
	}},
	{"internal/memnet", nil},
	{"internal/docgen", []string{module + "/runtime/policy", "github.com/bufbuild/protocompile", "google.golang.org/protobuf"}},
	{"cmd/protoc-gen-goresilient", []string{module + "/internal/generator", module + "/proto", "google.golang.org/protobuf"}},
	{"runtime/internal/filewatch", []string{"github.com/fsnotify/fsnotify"}},
	{"runtime/internal/rate", []string{"golang.org/x/time/rate"}},
	{"runtime/internal/notsent", []string{"google.golang.org/grpc/codes", "google.golang.org/grpc/status"}},
	{"runtime/internal", []string{module + "/runtime/internal"}},
	{"runtime/balancer/internal", nil},
	{"runtime/policy", []string{module + "/proto/goresilient/v1", "google.golang.org/protobuf", "google.golang.org/grpc/codes", "go.yaml.in/yaml/v3"}},
	{"runtime/discovery/discoverytest", []string{module + "/runtime/discovery"}},
	{"runtime/discovery", []string{
		module + "/runtime/policy", module + "/runtime/internal", "google.golang.org/grpc", "go.yaml.in/yaml/v3",
		"github.com/fsnotify/fsnotify",
	}},
	{"runtime/balancer", []string{
		module + "/runtime/policy", module + "/runtime/discovery", module + "/runtime/internal", module + "/runtime/balancer/internal",
		"google.golang.org/grpc", "github.com/cespare/xxhash/v2",
	}},
	{"runtime", []string{
		module + "/runtime/policy", module + "/runtime/discovery", module + "/runtime/balancer", module + "/runtime/internal",
		"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/cespare/xxhash/v2",
	}},
	{"example", []string{module + "/example", module + "/runtime", module + "/proto", "google.golang.org/grpc", "google.golang.org/protobuf"}},
}

// linked are the modules that a program with a generated client links.
var linked = []string{
	module,
	"github.com/cespare/xxhash/v2", "github.com/fsnotify/fsnotify",
	"github.com/go-jose/go-jose/v4", "github.com/spiffe/go-spiffe/v2", // of grpc's certprovider
	"go.yaml.in/yaml/v3",
	"golang.org/x/net", "golang.org/x/sys", "golang.org/x/text", "golang.org/x/time",
	"google.golang.org/genproto/googleapis/rpc", "google.golang.org/grpc", "google.golang.org/protobuf",
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

// look looks at what go list reads. Otherwise go test, which takes notice of the files that a test opens, would not run these tests
// again when imports change.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") && !strings.HasPrefix(d.Name(), "go.") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	look(t)
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Module"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestImportsKeepTheirDirection(t *testing.T) {
	standard := make(map[string]bool)
	for _, p := range list(t, "std") {
		standard[p.ImportPath] = true
	}
	for _, p := range list(t, module+"/...") {
		if p.Module == nil || p.Module.Path != module { // another module of the workspace
			continue
		}
		i := slices.IndexFunc(rules, func(r rule) bool { return below(p.ImportPath, module+"/"+r.packages) })
		if i < 0 {
			if len(p.Imports) > 0 {
				t.Errorf("%s has no rule; add one", p.ImportPath)
			}
			continue
		}
		for _, imported := range p.Imports {
			allowed := standard[imported] || slices.ContainsFunc(rules[i].may, func(m string) bool { return below(imported, m) })
			if !allowed {
				t.Errorf("%s imports %s, which the rule for %s does not allow", p.ImportPath, imported, rules[i].packages)
			}
		}
	}
}

func TestUsersLinkFewModules(t *testing.T) {
	for _, p := range list(t, "-deps", module+"/runtime") {
		if !p.Standard && p.Module != nil && !slices.Contains(linked, p.Module.Path) {
			t.Errorf("the runtime links %s, through %s", p.Module.Path, p.ImportPath)
		}
	}
}
