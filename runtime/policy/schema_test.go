package policy

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schemaRoots are the Go types of the messages at which everything else hangs.
var schemaRoots = map[protoreflect.Name]reflect.Type{
	"ServicePolicy": reflect.TypeFor[Service](),
	"MethodPolicy":  reflect.TypeFor[Method](),
	"MethodTraits":  reflect.TypeFor[Traits](),
}

// compileSchema reads policy.proto with its comments.
func compileSchema(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"../../proto"}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), "goresilient/v1/policy.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// comment returns the comment before d as one line.
func comment(d protoreflect.Descriptor) string {
	return strings.Join(strings.Fields(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments), " ")
}

// eachMessage calls f for every message of the policy language with its Go type.
func eachMessage(t *testing.T, f func(t *testing.T, md protoreflect.MessageDescriptor, typ reflect.Type)) {
	messages := compileSchema(t).Messages()
	reached := make(map[protoreflect.Name]reflect.Type)
	var visit func(md protoreflect.MessageDescriptor, typ reflect.Type)
	visit = func(md protoreflect.MessageDescriptor, typ reflect.Type) {
		if reached[md.Name()] != nil {
			return
		}
		reached[md.Name()] = typ
		t.Run(string(md.Name()), func(t *testing.T) { f(t, md, typ) })
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if sf := schemaOf(typ).byName[string(fd.Name())]; sf != nil && fd.Message() != nil {
				visit(fd.Message(), sf.elem)
			}
		}
	}
	for name, typ := range schemaRoots {
		visit(messages.ByName(name), typ)
	}
	if want := messages.Len() - len([]string{"PolicyDocument", "ServiceEntry"}); len(reached) != want {
		t.Errorf("%d messages have Go types, want %d", len(reached), want)
	}
	if len(schemas) != len(reached) {
		t.Errorf("%d Go types for %d messages", len(schemas), len(reached))
	}
}

func TestStructsMatchSchema(t *testing.T) {
	eachMessage(t, func(t *testing.T, md protoreflect.MessageDescriptor, typ reflect.Type) {
		var names []string
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			names = append(names, string(fd.Name()))
			f := schemaOf(typ).byName[string(fd.Name())]
			if f == nil {
				continue // reported below
			}
			if got, want := f.kind, kindInProto(fd); got != want {
				t.Errorf("%s: the kind is %d, in the schema %d", f.name, got, want)
			}
			oneof := ""
			if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
				oneof = string(o.Name())
			}
			if f.oneof != oneof {
				t.Errorf("%s: the oneof is %q, in the schema %q", f.name, f.oneof, oneof)
			}
			if goName := typ.Field(f.index).Name; strings.ReplaceAll(f.name, "_", "") != strings.ToLower(goName) {
				t.Errorf("%s is called %s in Go", f.name, goName)
			}
		}
		got := schemaOf(typ).names()
		slices.Sort(got)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("fields of the Go type\n%v\nof the schema\n%v", got, names)
		}
	})
}

// kindInProto returns the kind of a field; durations are told from other strings by their comments.
func kindInProto(fd protoreflect.FieldDescriptor) kind {
	switch {
	case fd.IsList() && fd.Enum() != nil:
		return kindCodes
	case fd.Kind() == protoreflect.MessageKind:
		return kindMessage
	case fd.Kind() == protoreflect.BoolKind:
		return kindBool
	case fd.Kind() == protoreflect.Uint32Kind:
		return kindInt
	case fd.Kind() == protoreflect.DoubleKind:
		return kindFloat
	case strings.Contains(comment(fd), "A duration"):
		return kindDuration
	default:
		return kindString
	}
}

// TestCommentsMatchSchema holds the comments of the Go fields to those of the schema, word for word: one text to mend.
func TestCommentsMatchSchema(t *testing.T) {
	inGo := goComments(t)
	eachMessage(t, func(t *testing.T, md protoreflect.MessageDescriptor, typ reflect.Type) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			f := schemaOf(typ).byName[string(fd.Name())]
			if got, want := inGo[typ.Name()+"."+typ.Field(f.index).Name], comment(fd); got != want {
				t.Errorf("%s: in Go\n%s\nin the schema\n%s", f.name, got, want)
			}
		}
	})
}

// goComments returns the comment of every struct field of this package by "Type.Field", as one line.
func goComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, id := range f.Names {
						out[spec.Name.Name+"."+id.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return false
		})
	}
	return out
}

// scopeAtEnd is how the comment of a field ends: its scope, and when a change takes effect.
var scopeAtEnd = regexp.MustCompile(`(Channel|Service|Method|Service or method), (hot|at start|compiled in)\.$` +
	`|Scope and time of the message that it stands in: .*\.$|Scope and time as initial\.$` +
	`|Each field has its own scope, and is hot or at start\.$|The document as a whole, hot\.$`)

func TestCommentsEndInScope(t *testing.T) {
	messages := compileSchema(t).Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			if c := comment(fields.Get(j)); !scopeAtEnd.MatchString(c) {
				t.Errorf("%s: the comment does not end in scope and time: %q", fields.Get(j).FullName(), c)
			}
		}
	}
	service := messages.ByName("ServicePolicy").Fields()
	for i := range service.Len() {
		fd := service.Get(i)
		scope, start := ScopeOf(string(fd.Name()))
		when := "hot"
		if start {
			when = "at start"
		}
		if end := fmt.Sprintf("%v, %s.", scope, when); !strings.HasSuffix(strings.ToLower(comment(fd)), end) {
			t.Errorf("%s: ScopeOf has %q, the comment %q", fd.Name(), end, comment(fd))
		}
	}
}

func TestCommentsStateDefaultAndRange(t *testing.T) {
	eachMessage(t, func(t *testing.T, md protoreflect.MessageDescriptor, typ reflect.Type) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			f := schemaOf(typ).byName[string(fd.Name())]
			c := comment(fd)
			if f.def != "" && !statesDefault(c, f.def) {
				t.Errorf("%s: the default is %s, the comment says %q", f.name, f.def, c)
			}
			if rx := regexp.MustCompile(`Default: ("\d|-?\d|true|false)`); f.def == "" && typ != reflect.TypeFor[Backoff]() &&
				f.kind != kindMessage && rx.MatchString(c) {
				t.Errorf("%s: has no default, the comment says %q", f.name, c)
			}
			tag := typ.Field(f.index).Tag.Get("range")
			measured := f.kind == kindInt || f.kind == kindFloat || f.kind == kindDuration
			if measured != (tag != "") {
				t.Errorf("%s: the range is %q", f.name, tag)
			} else if measured && !statesRange(c, f.limit) {
				t.Errorf("%s: the range is %s, the comment says %q", f.name, tag, c)
			}
		}
	})
}

func statesDefault(comment, def string) bool {
	return strings.Contains(comment, "Default: "+def+". ") || strings.Contains(comment, `Default: "`+def+`". `)
}

// statesRange tells whether a comment has the words for the interval. A bound that is another field stands for the
// interval's own: ValidateEffective holds to it.
func statesRange(comment string, iv interval) bool {
	low, high := iv.lowText, iv.highText
	duration := strings.HasSuffix(low, "s")
	quoted := func(s string) string { return `"` + s + `"` }
	var words []string
	switch {
	case iv.orZero:
		words = []string{"0, or > " + low + " to " + high + "; 0:"}
	case duration && iv.hasHigh:
		words = []string{"A duration, " + quoted(low) + " to " + quoted(high) + "."}
	case duration && iv.openLow:
		words = []string{"A duration > 0.", "A duration, at least base_ejection_time.", "A duration, at least open_duration.",
			"A duration, at least initial."}
	case duration && low == "0s":
		words = []string{`A duration; "0s": `, `"0s": reports come with calls. A duration.`}
	case duration:
		words = []string{"A duration, at least " + quoted(low) + "."}
	case iv.openLow && iv.openHigh:
		words = []string{"In (" + low + ", " + high + ")."}
	case iv.openLow:
		words = []string{"A share, in (" + low + ", " + high + "].", "> " + low + ", to " + high + "."}
	default:
		words = []string{"A share, in [" + low + ", " + high + "]", low + " to " + high, "at least min, to " + high}
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(comment, w) })
}

func TestIntervals(t *testing.T) {
	for _, tc := range []struct {
		tag     string
		in, out []float64
		words   string
	}{
		{"[2,5]", []float64{2, 5}, []float64{1, 6}, "from 2 to 5"},
		{"(0,1]", []float64{0.1, 1}, []float64{0, 1.1}, "more than 0 and at most 1"},
		{"(0.5,1)", []float64{0.6}, []float64{0.5, 1}, "more than 0.5 and less than 1"},
		{"[0,1)", []float64{0}, []float64{-1, 1}, "at least 0 and less than 1"},
		{"(0s,)", []float64{1, 1e18}, []float64{0, -1}, "more than 0s"},
		{"[100ms,)", []float64{1e8}, []float64{1e8 - 1}, "at least 100ms"},
		{"0|(1,1000]", []float64{0, 1.1, 1000}, []float64{0.5, 1, 1001}, "that is 0, or more than 1 and at most 1000"},
	} {
		iv := parseInterval(tc.tag)
		for _, v := range tc.in {
			if !iv.contains(v) {
				t.Errorf("%s does not contain %v", tc.tag, v)
			}
		}
		for _, v := range tc.out {
			if iv.contains(v) {
				t.Errorf("%s contains %v", tc.tag, v)
			}
		}
		if got := iv.describe(); got != tc.words {
			t.Errorf("%s is described as %q, want %q", tc.tag, got, tc.words)
		}
	}
}
