package generator

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/goresilient/goresilient/internal/annotation"
)

func isDeprecatedService(s *protogen.Service) bool {
	return s.Desc.Options().(*descriptorpb.ServiceOptions).GetDeprecated()
}

func isDeprecatedMethod(m *protogen.Method) bool {
	return m.Desc.Options().(*descriptorpb.MethodOptions).GetDeprecated()
}

// isDeprecatedMessage tells whether protoc-gen-go marks the type of m, or the package that it stands in.
func isDeprecatedMessage(m *protogen.Message) bool {
	return m.Desc.Options().(*descriptorpb.MessageOptions).GetDeprecated() ||
		m.Desc.ParentFile().Options().(*descriptorpb.FileOptions).GetDeprecated()
}

func isDeprecatedField(f *protogen.Field) bool {
	return f.Desc.Options().(*descriptorpb.FieldOptions).GetDeprecated()
}

// usesDeprecated tells whether the client of s, whose policy is p, names anything of another package that is marked as deprecated, which
// linters would report of generated code that nobody can change. client is the package of the client.
func usesDeprecated(s *protogen.Service, p *annotation.Service, stubs *protogen.File, client protogen.GoImportPath) bool {
	ofStub := stubs.GoImportPath != client
	if ofStub && (isDeprecatedService(s) || stubs.Proto.GetOptions().GetDeprecated()) {
		return true
	}
	for i, m := range s.Methods {
		streams := m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer()
		if ofStub && streams && isDeprecatedMethod(m) {
			return true
		}
		for _, message := range []*protogen.Message{m.Input, m.Output} {
			if message.GoIdent.GoImportPath != client && isDeprecatedMessage(message) {
				return true
			}
		}
		for _, f := range hashedFields(p.Methods[i], m) {
			if f.Parent.GoIdent.GoImportPath != client && isDeprecatedField(f) {
				return true
			}
		}
	}
	return false
}
