package annotation

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// checkTraits reports traits that have no meaning for the RPC that they are written on.
func checkTraits(t *policy.Traits, md protoreflect.MethodDescriptor) policy.Problems {
	var ps policy.Problems
	if t.HashKey != nil && *t.HashKey != "" {
		if text := checkHashKey(*t.HashKey, md); text != "" {
			ps = append(ps, policy.Problem{Path: "hash_key", Text: text})
		}
	}
	return ps
}

// checkHashKey resolves path against the request of md; it returns what is wrong, "" for nothing.
func checkHashKey(path string, md protoreflect.MethodDescriptor) string {
	if md.IsStreamingClient() {
		return fmt.Sprintf("%q cannot be read, since the RPC takes a stream of requests; remove it", path)
	}
	names := strings.Split(path, ".")
	message := md.Input()
	for i, name := range names {
		fd := message.Fields().ByName(protoreflect.Name(name))
		last := i == len(names)-1
		switch {
		case fd == nil:
			return fmt.Sprintf("%q: %s has no field %q; %s", path, message.FullName(), name, choices(message))
		case fd.IsMap() || fd.IsList():
			return fmt.Sprintf("%q: %s holds many values; write the path of a singular field", path, fd.FullName())
		case last && fd.Message() != nil:
			return fmt.Sprintf("%q: %s is a message; write the path of a scalar or an enum in it", path, fd.FullName())
		case !last && fd.Message() == nil:
			return fmt.Sprintf("%q: %s is no message and has no field %q; write %q",
				path, fd.FullName(), names[i+1], strings.Join(names[:i+1], "."))
		}
		message = fd.Message()
	}
	return ""
}

// choices says which fields of m a path may go on with.
func choices(m protoreflect.MessageDescriptor) string {
	var names []string
	for i := range m.Fields().Len() {
		if fd := m.Fields().Get(i); fd.Cardinality() != protoreflect.Repeated {
			names = append(names, string(fd.Name()))
		}
	}
	if len(names) == 0 {
		return "it has no singular field at all, remove hash_key"
	}
	return "write one of " + strings.Join(names, ", ")
}
