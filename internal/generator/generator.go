package generator

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/annotation"
	"github.com/goresilient/goresilient/templates"
)

// Environment is what a run takes from outside of its request.
type Environment struct {
	// ReadFile reads the policy document; [os.ReadFile] in the plugin.
	ReadFile func(name string) ([]byte, error)
	// WorkingDirectory is what the path of the policy document is relative to in generated code; "" if unknown.
	WorkingDirectory string
}

// Respond carries out one request of protoc or buf. What is wrong with the input stands in the response's error, all
// of it at once.
func Respond(req *pluginpb.CodeGeneratorRequest, env Environment) *pluginpb.CodeGeneratorResponse {
	var params Parameters
	options := protogen.Options{ParamFunc: params.Set, ImportRewriteFunc: rewriteImport}
	plugin, err := options.New(req)
	if err != nil {
		return &pluginpb.CodeGeneratorResponse{Error: proto.String(err.Error())}
	}
	plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
		pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	plugin.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_PROTO2
	plugin.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2024
	if err := generate(plugin, params, env); err != nil {
		plugin.Error(err)
	}
	return plugin.Response()
}

func generate(plugin *protogen.Plugin, params Parameters, env Environment) error {
	doc, inDocument := params.document(env)
	in := annotation.Input{
		Document: doc, DocumentName: params.documentName(env), DocumentUnread: len(inDocument) > 0,
	}
	for _, file := range plugin.Files {
		in.Known = append(in.Known, file.Desc)
		if file.Generate {
			in.Generate = append(in.Generate, file.Desc)
		}
	}
	services, problems := annotation.Read(in)
	names, clashes := newNames(plugin.Files, params.PackageSuffix)
	if problems = slices.Concat(inDocument, problems, clashes).Sorted(); len(problems) > 0 {
		return problems
	}
	tmpl, err := templates.Parse()
	if err != nil {
		return err
	}
	for _, file := range plugin.Files {
		if !file.Generate {
			continue
		}
		if err := emit(plugin, file, params, services, names, tmpl); err != nil {
			return err
		}
	}
	return nil
}

// emit writes the generated file of one proto file, unless it has no client.
func emit(plugin *protogen.Plugin, file *protogen.File, params Parameters,
	policies map[protoreflect.FullName]*annotation.Service, names *names, tmpl *template.Template,
) error {
	services := slices.Clone(file.Services)
	if params.AnnotatedOnly {
		services = slices.DeleteFunc(services, func(s *protogen.Service) bool {
			return !policies[s.Desc.FullName()].Annotated
		})
	}
	if len(services) == 0 {
		return nil
	}
	out := outputOf(file, params.PackageSuffix)
	g := plugin.NewGeneratedFile(out.filename, out.importPath)
	l := newLinker(g, file, policies, names)
	view := fileView{
		Source: inHeader(file.Desc.Path()), Version: Version, Package: string(out.packageName),
		Deprecated: file.Proto.GetOptions().GetDeprecated(),
		UsesDeprecated: slices.ContainsFunc(services, func(s *protogen.Service) bool {
			return usesDeprecated(s, policies[s.Desc.FullName()], file, out.importPath)
		}),
		Services: l.services(services),
	}
	return tmpl.ExecuteTemplate(g, "file", view)
}

// inHeader returns the path of a proto file as it may stand in a comment: in quotes if it could end the comment, or be
// a build constraint.
func inHeader(path string) string {
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` || strings.HasPrefix(path, "+") {
		return quoted
	}
	return path
}

// output is where the clients of a proto file go.
type output struct {
	filename    string // e.g., "acme/inventory/v1/inventory_goresilient.pb.go"
	importPath  protogen.GoImportPath
	packageName protogen.GoPackageName
}

func outputOf(file *protogen.File, suffix string) output {
	const end = "_goresilient.pb.go"
	if suffix == "" {
		return output{file.GeneratedFilenamePrefix + end, file.GoImportPath, file.GoPackageName}
	}
	name := string(file.GoPackageName) + suffix
	dir, base := path.Split(file.GeneratedFilenamePrefix)
	return output{
		filename:    path.Join(dir, name, base+end),
		importPath:  protogen.GoImportPath(path.Join(string(file.GoImportPath), name)),
		packageName: protogen.GoPackageName(name),
	}
}
