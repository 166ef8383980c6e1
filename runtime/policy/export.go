package policy

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// YAML writes d as a policy document that [ParseDocument] reads back to the same values. The same values give the same
// bytes: fields stand in the order of the schema, services and methods in that of the alphabet. A Document may be made
// for the purpose, e.g., to show what is in force:
//
//	d := policy.Document{Services: map[string]*policy.Entry{"acme.inventory.v1.InventoryService": {Policy: effective}}}
//	os.Stdout.Write(d.YAML())
func (d *Document) YAML() []byte {
	w := new(yamlWriter)
	w.line(0, "version", DocumentVersion)
	writePolicy(w, 0, "defaults", d.Defaults)
	if len(d.Services) == 0 {
		return w.Bytes()
	}
	w.line(0, "services", "")
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		w.entry(name, d.Services[name])
	}
	return w.Bytes()
}

// yamlWriter writes block mappings, two spaces a level.
type yamlWriter struct{ bytes.Buffer }

// line writes "key: value" at the given depth, "key:" if there is no value.
func (w *yamlWriter) line(depth int, key, value string) {
	w.WriteString(strings.Repeat("  ", depth))
	w.WriteString(key)
	w.WriteByte(':')
	if value != "" {
		w.WriteByte(' ')
		w.WriteString(value)
	}
	w.WriteByte('\n')
}

func (w *yamlWriter) entry(service string, e *Entry) {
	if e == nil || e.Policy == nil && len(e.Methods) == 0 && len(e.Traits) == 0 {
		w.line(1, quoteName(service), "{}")
		return
	}
	w.line(1, quoteName(service), "")
	writePolicy(w, 2, "policy", e.Policy)
	writeMethods(w, "methods", e.Methods)
	writeMethods(w, "traits", e.Traits)
}

func writeMethods[T Mergeable](w *yamlWriter, key string, byMethod map[string]*T) {
	if len(byMethod) == 0 {
		return
	}
	w.line(2, key, "")
	for _, name := range slices.Sorted(maps.Keys(byMethod)) {
		v := byMethod[name]
		if v == nil {
			v = new(T)
		}
		writePolicy(w, 3, quoteName(name), v)
	}
}

// writePolicy writes v under key; nothing if v is nil.
func writePolicy[T Mergeable](w *yamlWriter, depth int, key string, v *T) {
	if v != nil {
		w.message(depth, key, reflect.ValueOf(v).Elem())
	}
}

func (w *yamlWriter) message(depth int, key string, v reflect.Value) {
	header := w.Len()
	w.line(depth, key, "")
	body := w.Len()
	s := schemaOf(v.Type())
	for i := range s.fields {
		f := &s.fields[i]
		switch fv := fieldValue(v, f); {
		case !isSet(fv):
		case f.kind == kindMessage:
			w.message(depth+1, f.name, fv.Elem())
		default:
			w.line(depth+1, f.name, FormatValue(leafValue(fv, f)))
		}
	}
	if w.Len() == body {
		w.Truncate(header)
		w.line(depth, key, "{}")
	}
}

// quoteName quotes a name that some reader of YAML would not take for text: an RPC may be named Null or, in YAML 1.1, On.
func quoteName(name string) string {
	switch strings.ToLower(name) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(name)
	}
	if !protoreflect.FullName(name).IsValid() {
		return strconv.Quote(name)
	}
	return name
}
