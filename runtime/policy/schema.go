package policy

import (
	"fmt"
	"reflect"
	"strconv"
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
//	range:"[low,high)"                           the legal interval of a number or a duration
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
	def   string // e.g., "10s"; "" if nothing holds by default
	elem  reflect.Type
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
	switch {
	case f.elem == typeDuration:
		f.kind = kindDuration
	case f.elem.Kind() == reflect.Struct:
		f.kind = kindMessage
	case f.elem.Kind() == reflect.Bool:
		f.kind = kindBool
	case f.elem.Kind() == reflect.Int:
		f.kind = kindInt
	case f.elem.Kind() == reflect.Float64:
		f.kind = kindFloat
	default:
		f.kind = kindString
	}
	return f
}

func schemaOf(t reflect.Type) *schema {
	s := schemas[t]
	if s == nil {
		panic(fmt.Sprintf("policy: %v is not a policy type", t))
	}
	return s
}

// interval is the legal range of a number, or of a duration in nanoseconds. The zero interval allows everything.
type interval struct {
	low, high         float64
	openLow, openHigh bool
	hasLow, hasHigh   bool
	text              string // as written in the tag
	duration          bool
}

func parseInterval(s string) interval {
	if s == "" {
		return interval{}
	}
	low, high, _ := strings.Cut(s[1:len(s)-1], ",")
	iv := interval{text: s, openLow: s[0] == '(', openHigh: s[len(s)-1] == ')'}
	parse := func(s string) (float64, bool) {
		if s == "" {
			return 0, false
		}
		if v, err := strconv.ParseFloat(s, 64); err == nil {
			return v, true
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			panic(fmt.Sprintf("policy: bad range bound %q", s))
		}
		iv.duration = true
		return float64(d), true
	}
	iv.low, iv.hasLow = parse(low)
	iv.high, iv.hasHigh = parse(high)
	return iv
}

func (iv interval) contains(v float64) bool {
	if v != v { // NaN
		return false
	}
	if iv.hasLow && (v < iv.low || iv.openLow && v == iv.low) {
		return false
	}
	if iv.hasHigh && (v > iv.high || iv.openHigh && v == iv.high) {
		return false
	}
	return true
}

// describe words the interval for an error: "more than 0s", "from 2 to 10".
func (iv interval) describe() string {
	low, high, _ := strings.Cut(iv.text[1:len(iv.text)-1], ",")
	switch {
	case iv.hasLow && iv.hasHigh && iv.openLow && iv.openHigh:
		return fmt.Sprintf("more than %s and less than %s", low, high)
	case iv.hasLow && iv.hasHigh && iv.openLow:
		return fmt.Sprintf("more than %s and at most %s", low, high)
	case iv.hasLow && iv.hasHigh:
		return fmt.Sprintf("from %s to %s", low, high)
	case iv.openLow:
		return "more than " + low
	default:
		return "at least " + low
	}
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
