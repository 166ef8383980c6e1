package generator

import (
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"

	goresilient "github.com/goresilient/goresilient/runtime"
)

func TestRuntimeMethodsAreThoseOfTheRuntime(t *testing.T) {
	var want []string
	for m := range reflect.TypeFor[*goresilient.Client]().Methods() {
		want = append(want, m.Name)
	}
	if !slices.Equal(runtimeMethods, want) {
		t.Errorf("the list has %v; the runtime's client has %v", runtimeMethods, want)
	}
}

func TestImportName(t *testing.T) {
	for p, want := range map[protogen.GoImportPath]string{
		"example.com/foo":     "foo",
		"example.com/foo-bar": "foo_bar",
		"example.com/1st":     "_1st",
		"example.com/type":    "_type",
		"fooResilience":       "fooResilience",
	} {
		if got := importName(p); got != want {
			t.Errorf("importName(%q) = %q, want %q", p, got, want)
		}
	}
}
