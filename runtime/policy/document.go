package policy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// DocumentVersion is the value of a document's version field.
const DocumentVersion = "goresilient.v1"

// Document is policy for many services: an override, or the file given to the generator. It is immutable.
type Document struct {
	// Source names it in problems and origins, e.g., "overrides.yaml".
	Source string
	// Defaults applies to every service.
	Defaults *Service
	// Services is by full name, e.g., "acme.inventory.v1.InventoryService".
	Services map[string]*Entry

	defaultsLines Lines
	positions     map[string]position // by full path
}

// Entry is the part of a [Document] for one service.
type Entry struct {
	// Policy is the policy of the service.
	Policy *Service
	// Methods is by the name of the RPC.
	Methods map[string]*Method
	// Traits is by the name of the RPC; for the generator alone.
	Traits map[string]*Traits

	lines       Lines
	methodLines map[string]Lines
}

type position struct{ line, column int }

// ParseDocument reads a PolicyDocument from YAML or JSON; source names it in problems. The error, if any, is a
// [Problems] with every problem of the document in the order of the text. Field names may be written as in the proto or
// in JSON's lower camel case, and the CODE_ prefix may be left out. Nothing is ignored: an unknown field is an error.
func ParseDocument(source string, data []byte) (*Document, error) {
	p := &documentParser{doc: &Document{Source: source, Services: make(map[string]*Entry), positions: make(map[string]position)}}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, second yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		p.problem(nil, "", `the document is empty; begin it with "version: %s"`, DocumentVersion)
	} else if err != nil {
		p.problem(nil, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	} else {
		p.document(root.Content[0])
		if err := dec.Decode(&second); err == nil {
			p.problem(&second, "", "a second document begins here; put everything in one")
		}
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.doc, nil
}

// Position returns the line and the column of the field at path, 0 and 0 if the document does not set it.
func (d *Document) Position(path string) (line, column int) {
	pos := d.positions[path]
	return pos.line, pos.column
}

// Layers returns what the document says of a service, for a [Stack], at the given level.
func (d *Document) Layers(service string, level Level) []Layer {
	var layers []Layer
	if d.Defaults != nil {
		layers = append(layers, Layer{Level: level, Source: d.Source, Service: d.Defaults, Lines: d.defaultsLines})
	}
	if e := d.Services[service]; e != nil {
		layers = append(layers, Layer{Level: level, Source: d.Source, Service: e.Policy, Lines: e.lines, Methods: e.Methods, MethodLines: e.methodLines})
	}
	return layers
}

// At returns ps with the source and the positions of the document; their paths are relative to prefix.
func (d *Document) At(prefix string, ps Problems) Problems {
	out := ps.In(prefix)
	for i := range out {
		out[i].Source = d.Source
		for path := out[i].Path; path != ""; path = parent(path) {
			if pos, ok := d.positions[path]; ok {
				out[i].Line, out[i].Column = pos.line, pos.column
				break
			}
		}
	}
	return out
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

type documentParser struct {
	doc      *Document
	problems Problems
}

func (p *documentParser) problem(n *yaml.Node, path, format string, args ...any) {
	pr := Problem{Source: p.doc.Source, Path: path, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		pr.Line, pr.Column = n.Line, n.Column
	}
	p.problems = append(p.problems, pr)
}

// each calls f for every key of the mapping n, under the name that the proto has for it.
func (p *documentParser) each(n *yaml.Node, path string, f func(key string, k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.problem(n, path, "%s stands where fields are expected; write a mapping, {} if nothing is to be set", describeNode(n))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			p.problem(k, path, "%s stands where a name is expected", describeNode(k))
		case seen[k.Value]:
			p.problem(k, join(path, k.Value), "stands there twice; remove one")
		case v.Kind == yaml.AliasNode:
			p.problem(v, join(path, k.Value), "YAML aliases are not read; write the value out")
		default:
			seen[k.Value] = true
			f(k.Value, k, v)
		}
	}
}

func (p *documentParser) at(path string, k *yaml.Node) {
	p.doc.positions[path] = position{k.Line, k.Column}
}

func (p *documentParser) document(n *yaml.Node) {
	version := false
	p.each(n, "", func(key string, k, v *yaml.Node) {
		p.at(key, k)
		switch key {
		case "version":
			version = true
			if v.Value != DocumentVersion {
				p.problem(v, key, "%q is not a version that this program reads; write %q, or upgrade", v.Value, DocumentVersion)
			}
		case "defaults":
			p.doc.Defaults = new(Service)
			p.doc.defaultsLines = make(Lines)
			p.message(v, reflect.ValueOf(p.doc.Defaults).Elem(), key, "", p.doc.defaultsLines)
			p.validated(key, Validate(p.doc.Defaults))
		case "services":
			p.each(v, key, func(name string, k, v *yaml.Node) { p.service(name, k, v) })
		default:
			p.unknown(k, key, []string{"version", "defaults", "services"})
		}
	})
	if !version && n.Kind == yaml.MappingNode {
		p.problem(n, "version", "is missing; write %q", DocumentVersion)
	}
}

func (p *documentParser) service(name string, k, v *yaml.Node) {
	path := "services." + name
	p.at(path, k)
	if !protoreflect.FullName(name).IsValid() {
		p.problem(k, path, "%q is not the full name of a service; write it as package.Service", name)
	}
	e := &Entry{Methods: make(map[string]*Method), Traits: make(map[string]*Traits), lines: make(Lines), methodLines: make(map[string]Lines)}
	p.doc.Services[name] = e
	p.each(v, path, func(key string, k, v *yaml.Node) {
		sub := path + "." + key
		p.at(sub, k)
		switch key {
		case "policy":
			e.Policy = new(Service)
			p.message(v, reflect.ValueOf(e.Policy).Elem(), sub, "", e.lines)
			p.validated(sub, Validate(e.Policy))
		case "methods":
			p.each(v, sub, func(method string, k, v *yaml.Node) {
				m, lines := new(Method), Lines{"": k.Line}
				p.at(sub+"."+method, k)
				p.message(v, reflect.ValueOf(m).Elem(), sub+"."+method, "", lines)
				p.validated(sub+"."+method, Validate(m))
				e.Methods[method], e.methodLines[method] = m, lines
			})
		case "traits":
			p.each(v, sub, func(method string, k, v *yaml.Node) {
				t := new(Traits)
				p.at(sub+"."+method, k)
				p.message(v, reflect.ValueOf(t).Elem(), sub+"."+method, "", Lines{})
				p.validated(sub+"."+method, Validate(t))
				e.Traits[method] = t
			})
		default:
			p.unknown(k, sub, []string{"policy", "methods", "traits"})
		}
	})
}

func (p *documentParser) validated(prefix string, ps Problems) {
	p.problems = append(p.problems, p.doc.At(prefix, ps)...)
}

func (p *documentParser) unknown(k *yaml.Node, path string, known []string) {
	p.problem(k, path, "is not a field here; write one of %s, or upgrade if it is newer than this program", strings.Join(known, ", "))
}

// message decodes the mapping n into the struct dst. The keys of lines are relative to the layer, path is not.
func (p *documentParser) message(n *yaml.Node, dst reflect.Value, path, rel string, lines Lines) {
	s := schemaOf(dst.Type())
	p.each(n, path, func(key string, k, v *yaml.Node) {
		f := s.byName[snakeCase(key)]
		if f == nil {
			known := make([]string, len(s.fields))
			for i := range s.fields {
				known[i] = s.fields[i].name
			}
			p.unknown(k, join(path, key), known)
			return
		}
		sub := join(path, f.name)
		if isSet(fieldValue(dst, f)) {
			p.problem(k, sub, "stands there twice; remove one")
			return
		}
		p.at(sub, k)
		lines[join(rel, f.name)] = k.Line
		p.field(v, fieldValue(dst, f), f, sub, join(rel, f.name), lines)
	})
}

func (p *documentParser) field(n *yaml.Node, dst reflect.Value, f *field, path, rel string, lines Lines) {
	switch f.kind {
	case kindMessage:
		dst.Set(reflect.New(f.elem))
		p.message(n, dst.Elem(), path, rel, lines)
	case kindCodes:
		p.codes(n, dst, path)
	default:
		v := reflect.New(f.elem)
		if text := parseScalar(n, v.Elem(), f.kind); text != "" {
			p.problem(n, path, "%s", text)
			return
		}
		dst.Set(v)
	}
}

func (p *documentParser) codes(n *yaml.Node, dst reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		p.problem(n, path, "%s stands where a list of codes is expected; write, say, [UNAVAILABLE]", describeNode(n))
		return
	}
	list := []codes.Code{}
	for _, item := range n.Content {
		c, ok := parseCode(item.Value)
		if item.Kind != yaml.ScalarNode || !ok {
			p.problem(item, path, "%s is no gRPC code; write a name such as UNAVAILABLE", describeNode(item))
			continue
		}
		list = append(list, c)
	}
	dst.Set(reflect.ValueOf(list))
}

// parseScalar stores the scalar n in v; it returns what is wrong, "" for nothing.
func parseScalar(n *yaml.Node, v reflect.Value, k kind) string {
	what := describeNode(n)
	if n.Kind != yaml.ScalarNode {
		return what + " stands where a single value is expected"
	}
	switch k {
	case kindBool:
		if n.Tag != "!!bool" {
			return what + " is neither true nor false; write one of them"
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case kindInt:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		if n.Tag != "!!int" || err != nil || i > math.MaxUint32 || i < math.MinInt32 {
			return what + " is not a whole number in range; write digits"
		}
		v.SetInt(i)
	case kindFloat:
		x, err := strconv.ParseFloat(n.Value, 64)
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil {
			return what + " is not a number"
		}
		v.SetFloat(x)
	case kindDuration:
		d, err := time.ParseDuration(n.Value)
		if err != nil || n.Tag != "!!str" {
			return what + ` is not a duration; write a number with a unit, such as "250ms" or "1m30s"`
		}
		v.SetInt(int64(d))
	case kindString:
		if n.Tag != "!!str" {
			return what + " is not text; put it in quotes"
		}
		v.SetString(n.Value)
	}
	return ""
}

func describeNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "a YAML alias"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return strconv.Quote(n.Value)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// snakeCase turns JSON's lower camel case into the proto's name: "maxAttempts" into "max_attempts".
func snakeCase(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
