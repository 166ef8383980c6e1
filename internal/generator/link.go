package generator

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/internal/annotation"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Import paths of generated code. The runtime is in a folder named runtime and is imported as goresilient. Protogen
// names an import by the end of its path, so that generated code asks for a path with the right end, which
// rewriteImport then replaces.
const (
	runtimePath protogen.GoImportPath = "github.com/goresilient/goresilient"
	policyPath  protogen.GoImportPath = "github.com/goresilient/goresilient/runtime/policy"
	contextPath protogen.GoImportPath = "context"
	timePath    protogen.GoImportPath = "time"
	grpcPath    protogen.GoImportPath = "google.golang.org/grpc"
	codesPath   protogen.GoImportPath = "google.golang.org/grpc/codes"
)

func rewriteImport(p protogen.GoImportPath) protogen.GoImportPath {
	if p == runtimePath {
		return runtimePath + "/runtime"
	}
	return p
}

// linker fills in the view of one file. It imports the packages that the templates name before those of messages, so
// that the former always have their own names.
type linker struct {
	g        *protogen.GeneratedFile
	file     *protogen.File
	policies map[protoreflect.FullName]*annotation.Service
	names    *names
	imported map[string]bool // names of imported packages, e.g., "grpc"
}

func newLinker(g *protogen.GeneratedFile, file *protogen.File,
	policies map[protoreflect.FullName]*annotation.Service, names *names,
) *linker {
	return &linker{g: g, file: file, policies: policies, names: names, imported: make(map[string]bool)}
}

// services returns the views of the services, in order.
func (l *linker) services(services []*protogen.Service) []serviceView {
	views := make([]serviceView, len(services))
	for i, s := range services {
		views[i] = l.literals(s)
	}
	l.importOwn(views)
	for i, s := range services {
		l.identifiers(&views[i], s)
	}
	for i := range views {
		views[i].Locals = locals{Client: l.local("client"), Err: l.local("err"), Opts: l.local("opts")}
	}
	return views
}

// literals begins the view of s with everything that is independent of imports.
func (l *linker) literals(s *protogen.Service) serviceView {
	p, n := l.policies[s.Desc.FullName()], l.names.services[s]
	view := serviceView{
		Name:   string(s.Desc.FullName()),
		Client: n.Client.Go, New: n.New.Go, Options: n.Options.Go, Alias: n.Alias.Go, Desc: n.Desc.Go,
		NewDoc:     newDoc(s, n),
		OptionsDoc: optionsDoc(n),
		AliasDoc:   aliasDoc(n),
		StubField:  "stub",
	}
	order := make([]string, len(s.Methods))
	for i, m := range s.Methods {
		order[i] = string(m.Desc.Name())
		mn := n.Methods[m]
		mv := methodView{
			Name: order[i], GoName: m.GoName,
			Doc:   methodDoc(m, n, p.Methods[i].Withheld),
			Field: mn.Field, Option: mn.Option.Go, OptionDoc: optionDoc(mn),
			ClientStreaming: m.Desc.IsStreamingClient(),
			Desc:            methodLiteral(p.Methods[i]),
		}
		mv.HashKey = hashKey(hashedFields(p.Methods[i], m))
		view.Methods = append(view.Methods, mv)
		view.Streams = view.Streams || p.Methods[i].RPC.Streaming()
	}
	for _, layer := range p.Stack {
		view.Layers = append(view.Layers, layerLiteral(layer, order))
	}
	return view
}

// importOwn imports the packages that templates and literals name.
func (l *linker) importOwn(views []serviceView) {
	l.ident(runtimePath.Ident("Client"))
	for _, v := range views {
		if len(v.Methods) > 0 {
			l.ident(contextPath.Ident("Context"))
			l.ident(grpcPath.Ident("CallOption"))
		}
		for _, m := range v.Methods {
			l.importNamed(m.Desc)
		}
		for _, layer := range v.Layers {
			l.importNamed(layer)
		}
	}
}

// importNamed imports what a literal names.
func (l *linker) importNamed(literal string) {
	code := withoutStrings(literal)
	for _, p := range []protogen.GoImportPath{policyPath, timePath, codesPath} {
		if name := path.Base(string(p)) + "."; strings.Contains(code, name) {
			l.ident(p.Ident("X"))
		}
	}
}

// identifiers completes v with the identifiers of other packages.
func (l *linker) identifiers(v *serviceView, s *protogen.Service) {
	stubs := l.file.GoImportPath
	v.Stub = l.ident(stubs.Ident(s.GoName + "Client"))
	v.ClientDoc = clientDoc(s, l.names.services[s], v.Stub)
	v.NewStub = l.ident(stubs.Ident("New" + s.GoName + "Client"))
	for i, m := range s.Methods {
		mv := &v.Methods[i]
		if m.Desc.IsStreamingServer() || m.Desc.IsStreamingClient() {
			// The name is a generic alias or, from an older protoc-gen-go-grpc, an interface: both compile.
			mv.Stream = l.ident(stubs.Ident(s.GoName + "_" + m.GoName + "Client"))
			if m.Desc.IsStreamingClient() {
				continue // its stub takes no request
			}
			mv.Request = l.ident(m.Input.GoIdent)
			continue
		}
		mv.Request, mv.Response = l.ident(m.Input.GoIdent), l.ident(m.Output.GoIdent)
	}
}

// ident returns the source text of id and imports its package.
func (l *linker) ident(id protogen.GoIdent) string {
	text := l.g.QualifiedGoIdent(id)
	if pkg, _, qualified := strings.Cut(text, "."); qualified {
		l.imported[pkg] = true
	}
	return text
}

// local returns wanted, with underscores if it would hide a package.
func (l *linker) local(wanted string) string {
	for l.imported[wanted] {
		wanted += "_"
	}
	return wanted
}

func methodLiteral(m annotation.Method) string {
	fields := []string{"Name: " + strconv.Quote(m.Name)}
	switch m.RPC.Idempotency {
	case policy.NoSideEffects:
		fields = append(fields, "Idempotency: policy.NoSideEffects")
	case policy.Idempotent:
		fields = append(fields, "Idempotency: policy.Idempotent")
	}
	if m.RPC.ClientStreaming {
		fields = append(fields, "ClientStreaming: true")
	}
	if m.RPC.ServerStreaming {
		fields = append(fields, "ServerStreaming: true")
	}
	if m.RPC.Traits != nil {
		fields = append(fields, "Traits: "+structLiteral(m.RPC.Traits))
	}
	return braces(fields)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
