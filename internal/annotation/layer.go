package annotation

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// layer is a level of policy that knows where each of its fields is written.
type layer struct {
	policy.Layer
	// subject is whom the service part concerns, e.g., "file option".
	subject string
	// place is the position of a field of the service part; methodPlace, of a field written on an RPC.
	place       func(path string) Place
	methodPlace func(method, path string) Place
	// broken tells that a value could not be read: what depends on it must not be judged.
	broken bool
}

// empty tells whether the layer says nothing.
func (l layer) empty() bool { return isEmpty(l.Service) && len(l.Methods) == 0 }

// isEmpty tells whether v sets nothing.
func isEmpty[T policy.Mergeable](v *T) bool {
	for range policy.Fields(v) {
		return false
	}
	return true
}

// written is where a value in force is written.
type written struct {
	place    Place
	subject  string
	path     string // of the field that was looked for, at the level where it is written
	onMethod bool   // on the RPC itself
}

// locateService finds the highest layer that sets the service field at path, or else the nearest message around it.
func locateService(layers []layer, path string) (written, bool) {
	for at := path; at != ""; at = parentPath(at) {
		for i := len(layers) - 1; i >= 0; i-- {
			if l := layers[i]; sets(l.Service, at) {
				return written{place: l.place(at), subject: l.subject, path: path}, true
			}
		}
	}
	return written{}, false
}

// locateMethod is locateService for a field of the policy of the RPC md.
func locateMethod(layers []layer, md protoreflect.MethodDescriptor, path string) (written, bool) {
	const inherited = "method_defaults."
	name := string(md.Name())
	for at := path; at != ""; at = parentPath(at) {
		for i := len(layers) - 1; i >= 0; i-- {
			l := layers[i]
			if sets(l.Methods[name], at) {
				return written{l.methodPlace(name, at), string(md.FullName()), path, true}, true
			}
			if sets(l.Service, inherited+at) {
				return written{place: l.place(inherited + at), subject: l.subject, path: inherited + path}, true
			}
		}
	}
	return written{}, false
}

func sets[T policy.Mergeable](v *T, path string) bool {
	for p := range policy.Fields(v) {
		if p == path {
			return true
		}
	}
	return false
}
