package policy

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Scope tells what shares one value of a field.
type Scope int

const (
	// ScopeMethod is one value per RPC.
	ScopeMethod Scope = iota
	// ScopeService is one value per generated client.
	ScopeService
	// ScopeChannel is one value for all clients over one channel.
	ScopeChannel
)

// String returns "method", "service" or "channel".
func (s Scope) String() string {
	switch s {
	case ScopeChannel:
		return "channel"
	case ScopeService:
		return "service"
	default:
		return "method"
	}
}

// schema describes one struct type of this package, read once from its field tags:
//
//	policy:"name[,scope][,start][,oneof=group]"  the name in proto, YAML and JSON; scope and start in Service alone
//	range:"[low,high)"                           the legal interval of a number or a duration; see interval
//	default:"value"                              what holds when no level sets the field
type schema struct {
	fields []field
	byName map[string]*field
}

// field describes one policy field.
type field struct {
	name  string // e.g., "max_attempts"
	index int    // in the struct
	kind  kind
	oneof string // e.g., "when"; "" outside of one
	scope Scope
	start bool // fixed when the channel or the client is made
	limit interval
	def   string       // e.g., "10s"; "" if nothing holds by default
	elem  reflect.Type // what the pointer points to; nil for kindCodes
}

type kind int

const (
	kindBool kind = iota
	kindInt
	kindFloat
	kindString
	kindDuration
	kindCodes
	kindMessage
)

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeCodes    = reflect.TypeFor[[]codes.Code]()

	// schemas is complete before main and only read from then on.
	schemas = buildSchemas()
)

func buildSchemas() map[reflect.Type]*schema {
	all := make(map[reflect.Type]*schema)
	addSchema(all, reflect.TypeFor[Service]())
	addSchema(all, reflect.TypeFor[Traits]())
	return all
}

func addSchema(all map[reflect.Type]*schema, t reflect.Type) {
	if all[t] != nil {
		return
	}
	s := &schema{byName: make(map[string]*field)}
	all[t] = s
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		f := parseField(sf)
		f.index = i
		s.fields = append(s.fields, f)
		if f.kind == kindMessage {
			addSchema(all, f.elem)
		}
	}
	for i := range s.fields {
		s.byName[s.fields[i].name] = &s.fields[i]
	}
}

func parseField(sf reflect.StructField) field {
	parts := strings.Split(sf.Tag.Get("policy"), ",")
	f := field{name: parts[0], def: sf.Tag.Get("default"), limit: parseInterval(sf.Tag.Get("range"))}
	for _, p := range parts[1:] {
		switch {
		case p == "start":
			f.start = true
		case p == "channel":
			f.scope = ScopeChannel
		case p == "service":
			f.scope = ScopeService
		case strings.HasPrefix(p, "oneof="):
			f.oneof = strings.TrimPrefix(p, "oneof=")
		}
	}
	if sf.Type == typeCodes {
		f.kind = kindCodes
		return f
	}
	f.elem = sf.Type.Elem()
	f.kind = kindOf(f.elem)
	return f
}

func kindOf(t reflect.Type) kind {
	switch {
	case t == typeDuration:
		return kindDuration
	case t.Kind() == reflect.Struct:
		return kindMessage
	case t.Kind() == reflect.Bool:
		return kindBool
	case t.Kind() == reflect.Int:
		return kindInt
	case t.Kind() == reflect.Float64:
		return kindFloat
	default:
		return kindString
	}
}

func schemaOf(t reflect.Type) *schema {
	s := schemas[t]
	if s == nil {
		panic(fmt.Sprintf("policy: %v is not a policy type", t))
	}
	return s
}

// names returns the names of all fields.
func (s *schema) names() []string {
	names := make([]string, len(s.fields))
	for i := range s.fields {
		names[i] = s.fields[i].name
	}
	return names
}

// fieldValue is a field of v, which is an addressable struct of this package.
func fieldValue(v reflect.Value, f *field) reflect.Value { return v.Field(f.index) }

// isSet tells whether a field value is written: not nil, and not an empty list.
func isSet(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() > 0
	}
	return !v.IsNil()
}
