package policy

import (
	"iter"
	"reflect"
	"strings"

	"google.golang.org/grpc/codes"
)

// Fields yields every field that is set in v, a pointer to a struct of this package, depth first in the order of
// declaration. The path is of field names as in the proto: "method_defaults.retry.max_attempts". The value is a bool,
// int, float64, string, [time.Duration] or []codes.Code, or nil for a message, which is yielded before its fields.
func Fields(v any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		rv := reflect.ValueOf(v)
		if rv.IsNil() {
			return
		}
		walk(rv.Elem(), "", yield)
	}
}

func walk(v reflect.Value, prefix string, yield func(string, any) bool) bool {
	s := schemaOf(v.Type())
	for i := range s.fields {
		f := &s.fields[i]
		fv := fieldValue(v, f)
		if !isSet(fv) {
			continue
		}
		path := prefix + f.name
		if f.kind == kindMessage {
			if !yield(path, nil) || !walk(fv.Elem(), path+".", yield) {
				return false
			}
			continue
		}
		if !yield(path, leafValue(fv, f)) {
			return false
		}
	}
	return true
}

func leafValue(fv reflect.Value, f *field) any {
	if f.kind == kindCodes {
		return fv.Interface().([]codes.Code)
	}
	return fv.Elem().Interface()
}

// ScopeOf returns the scope of the service policy field at path, and whether it is fixed at start. Everything in a
// message has the scope of the message.
func ScopeOf(path string) (scope Scope, start bool) {
	top, _, _ := strings.Cut(path, ".")
	f := schemaOf(reflect.TypeFor[Service]()).byName[top]
	if f == nil {
		return ScopeMethod, false
	}
	return f.scope, f.start
}
