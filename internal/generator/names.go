package generator

import (
	"cmp"
	"fmt"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/goresilient/goresilient/internal/annotation"
)

// names decides every identifier that generated code declares. A name that something else bears already gets
// underscores until it is free, and its comment says so.
type names struct {
	services map[*protogen.Service]serviceNames
}

// serviceNames are the identifiers of one service.
type serviceNames struct {
	Client, New, Options, Alias, Desc name
	Methods                           map[*protogen.Method]methodNames
}

// methodNames are the identifiers of one RPC.
type methodNames struct {
	Field  string // of the client struct, e.g., "getItemMethod"
	Option name   // of the options struct, e.g., "GetItem"
}

// name is a decided identifier.
type name struct {
	Go     string // e.g., "FooResilientClient_"
	Wanted string // e.g., "FooResilientClient"
	Holder string // what bears the wanted name, e.g., "message acme.v1.FooResilientClient"; "" if nothing does
}

// scope is the set of identifiers of a Go package or a struct, with what bears each.
type scope map[string]string

// claim declares wanted, or the nearest name that is free here and in the others, for holder.
func (s scope) claim(wanted, holder string, others ...scope) name {
	bearer := func(goName string) string {
		for _, in := range append(others, s) {
			if in[goName] != "" {
				return in[goName]
			}
		}
		return ""
	}
	n := name{Go: wanted, Wanted: wanted, Holder: bearer(wanted)}
	for bearer(n.Go) != "" {
		n.Go += "_"
	}
	s[n.Go] = holder
	return n
}

// take declares a name that somebody else decided.
func (s scope) take(goName, holder string) {
	if s[goName] == "" {
		s[goName] = holder
	}
}

// newNames builds the table of all packages of a run. Where Go leaves no way, as for two RPCs of one Go name, it is a
// problem.
func newNames(files []*protogen.File, suffix string) (*names, annotation.Problems) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b *protogen.File) int { return cmp.Compare(a.Desc.Path(), b.Desc.Path()) })
	n := &names{services: make(map[*protogen.Service]serviceNames)}
	scopes := make(map[protogen.GoImportPath]scope)
	for _, file := range files {
		at := outputOf(file, suffix).importPath
		if scopes[at] == nil {
			scopes[at] = make(scope)
		}
		if suffix == "" {
			scopes[at].takeFile(file)
		}
		scopes[at].takeImports(file, at)
	}
	problems := findClashes(files)
	for _, file := range files {
		for _, service := range file.Services {
			n.services[service] = newServiceNames(service, scopes[outputOf(file, suffix).importPath])
		}
	}
	return n, problems
}

func newServiceNames(service *protogen.Service, pkg scope) serviceNames {
	holder := "the client of service " + string(service.Desc.FullName())
	base := service.GoName
	n := serviceNames{
		Client:  pkg.claim(base+"ResilientClient", holder),
		New:     pkg.claim("New"+base+"ResilientClient", holder),
		Options: pkg.claim(base+"ResilientOptions", holder),
		Desc:    pkg.claim(lowerFirst(base)+"Resilience", holder),
		Methods: make(map[*protogen.Method]methodNames),
	}
	options := scope{"ApplyTo": "the method that makes the struct an option"}
	rpcs := make(scope)
	for _, m := range service.Methods {
		rpcs.take(m.GoName, "rpc "+string(m.Desc.FullName()))
		if m.GoName != "ApplyTo" {
			options.take(m.GoName, "rpc "+string(m.Desc.FullName()))
		}
	}
	if rpcs["Client"] != "" {
		// The field of an embedded type has the name of the type, and the methods of the client have these.
		n.Alias = pkg.claim(base+"ResilientRuntime", holder, rpcs)
	}
	for _, m := range service.Methods {
		mn := methodNames{
			Field:  lowerFirst(m.GoName) + "Method",
			Option: name{Go: m.GoName, Wanted: m.GoName},
		}
		if m.GoName == "ApplyTo" {
			mn.Option = options.claim(m.GoName, "rpc "+string(m.Desc.FullName()))
		}
		n.Methods[m] = mn
	}
	return n
}

// takeFile declares what protoc-gen-go and protoc-gen-go-grpc emit for file, as far as it could be one of our names.
func (s scope) takeFile(file *protogen.File) {
	for _, m := range file.Messages {
		s.takeMessage(m)
	}
	for _, e := range file.Enums {
		s.takeEnum(e)
	}
	s.takeExtensions(file.Extensions)
	for _, service := range file.Services {
		holder := "the stub of service " + string(service.Desc.FullName())
		for _, format := range []string{
			"%sClient", "New%sClient", "%sServer", "Unimplemented%sServer", "Unsafe%sServer", "Register%sServer",
			"%s_ServiceDesc",
		} {
			s.take(fmt.Sprintf(format, service.GoName), holder)
		}
		s.take(lowerFirst(service.GoName)+"Client", holder)
		for _, m := range service.Methods {
			for _, end := range []string{"Client", "Server", "_FullMethodName"} {
				s.take(service.GoName+"_"+m.GoName+end, holder)
			}
		}
	}
}

func (s scope) takeMessage(m *protogen.Message) {
	s.take(m.GoIdent.GoName, "message "+string(m.Desc.FullName()))
	for _, field := range m.Fields {
		holder := "field " + string(field.Desc.FullName())
		if field.Oneof != nil {
			s.take(field.GoIdent.GoName, holder)
			s.take("is"+field.Oneof.GoIdent.GoName, "oneof "+string(field.Oneof.Desc.FullName()))
		}
		if field.Desc.HasDefault() {
			s.take("Default_"+m.GoIdent.GoName+"_"+field.GoName, "the default of "+holder)
		}
	}
	s.takeExtensions(m.Extensions)
	for _, nested := range m.Messages {
		s.takeMessage(nested)
	}
	for _, e := range m.Enums {
		s.takeEnum(e)
	}
}

func (s scope) takeExtensions(extensions []*protogen.Extension) {
	for _, x := range extensions {
		s.take("E_"+x.GoIdent.GoName, "extension "+string(x.Desc.FullName()))
	}
}

func (s scope) takeEnum(e *protogen.Enum) {
	s.take(e.GoIdent.GoName, "enum "+string(e.Desc.FullName()))
	for _, v := range e.Values {
		s.take(v.GoIdent.GoName, "enum value "+string(v.Desc.FullName()))
	}
}

// takeImports declares the names of the packages that the clients of file import: in Go no name may stand both in a
// package and among the imports of one of its files.
func (s scope) takeImports(file *protogen.File, importer protogen.GoImportPath) {
	take := func(p protogen.GoImportPath) {
		if p != importer {
			s.take(importName(p), "package "+string(p))
		}
	}
	for _, service := range file.Services {
		take(file.GoImportPath) // of the stub
		for _, m := range service.Methods {
			take(m.Input.GoIdent.GoImportPath)
			take(m.Output.GoIdent.GoImportPath)
		}
	}
}

// importName is the name by which protogen imports the package p: the end of its path, made an identifier.
func importName(p protogen.GoImportPath) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '_'
	}, path.Base(string(p)))
	if first, _ := utf8.DecodeRuneInString(name); token.IsKeyword(name) || !unicode.IsLetter(first) {
		return "_" + name
	}
	return name
}

// findClashes reports elements whose Go names are the same, so that no code can be generated for both.
func findClashes(files []*protogen.File) annotation.Problems {
	var ps annotation.Problems
	services := make(map[protogen.GoIdent]*protogen.Service)
	for _, file := range files {
		for _, service := range file.Services {
			ident := file.GoImportPath.Ident(service.GoName)
			if first := services[ident]; first != nil && file.Generate {
				ps = append(ps, annotation.Problem{
					Place: annotation.NamePlace(service.Desc), Subject: string(service.Desc.FullName()),
					Text: fmt.Sprintf("its Go name %s is that of service %s too; rename one", service.GoName, first.Desc.FullName()),
				})
			}
			services[ident] = service
			if file.Generate {
				ps = append(ps, findMethodClashes(service)...)
			}
		}
	}
	return ps
}

func findMethodClashes(service *protogen.Service) annotation.Problems {
	var ps annotation.Problems
	methods := make(map[string]*protogen.Method)
	for _, m := range service.Methods {
		if first := methods[m.GoName]; first != nil {
			ps = append(ps, annotation.Problem{
				Place: annotation.NamePlace(m.Desc), Subject: string(m.Desc.FullName()),
				Text: fmt.Sprintf("its Go name %s is that of rpc %s too; rename one", m.GoName, first.Desc.Name()),
			})
			continue
		}
		methods[m.GoName] = m
	}
	return ps
}

// runtimeMethods are the methods of the runtime's client, which an RPC of the same Go name hides.
var runtimeMethods = []string{"Close", "Conn", "Shutdown", "Snapshot", "WaitReady"}

// lowerFirst makes an exported identifier an unexported one, as protoc-gen-go-grpc does.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
