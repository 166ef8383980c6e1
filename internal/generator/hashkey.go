package generator

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/internal/annotation"
)

// hashedFields returns the fields from the request to the one that traits.hash_key names, none if it names none. The
// annotation was checked: they are there.
func hashedFields(policy annotation.Method, m *protogen.Method) []*protogen.Field {
	t := policy.RPC.Traits
	if t == nil || t.HashKey == nil {
		return nil
	}
	var fields []*protogen.Field
	message := m.Input
	for name := range strings.SplitSeq(*t.HashKey, ".") {
		i := slices.IndexFunc(message.Fields, func(f *protogen.Field) bool { return string(f.Desc.Name()) == name })
		fields = append(fields, message.Fields[i])
		message = message.Fields[i].Message
	}
	return fields
}

// hashKey returns the expression for the hash of the last of fields in the request "in", e.g.,
// "goresilient.HashString(in.GetUser().GetId())"; "" for none. A getter of a message that is not there returns the default.
func hashKey(fields []*protogen.Field) string {
	if len(fields) == 0 {
		return ""
	}
	value := "in"
	for _, f := range fields {
		getter, _ := f.MethodName("Get")
		value += "." + getter + "()"
	}
	return fmt.Sprintf("goresilient.%s(%s)", hashFunction(fields[len(fields)-1].Desc.Kind()), value)
}

func hashFunction(k protoreflect.Kind) string {
	switch k {
	case protoreflect.StringKind:
		return "HashString"
	case protoreflect.BytesKind:
		return "HashBytes"
	case protoreflect.BoolKind:
		return "HashBool"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "HashFloat"
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return "HashUint"
	default: // signed integers and enums
		return "HashInt"
	}
}
