package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ParseDocument reads a PolicyDocument from YAML or JSON; source names it in problems. The error, if any, is a
// [Problems] with every problem of the document in the order of the text. Field names may be written as in the proto or
// in JSON's lower camel case, and the CODE_ prefix may be left out. Nothing is ignored: an unknown field is an error.
func ParseDocument(source string, data []byte) (*Document, error) {
	p := &documentParser{unread: make(map[string]bool), doc: &Document{
		Source:    source,
		Services:  make(map[string]*Entry),
		positions: make(map[string]position),
	}}
	p.text(data)
	slices.SortStableFunc(p.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.doc, nil
}

// documentParser reads one document into doc and collects what is wrong with it. Paths are from the document's root.
type documentParser struct {
	doc      *Document
	problems Problems
	unread   map[string]bool // paths of what could not be read
}

func (p *documentParser) text(data []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := dec.Decode(&first); {
	case errors.Is(err, io.EOF):
		p.problem(nil, "", "the document is empty; begin it with version: %s", DocumentVersion)
		return
	case err != nil:
		p.syntax(err)
		return
	}
	p.document(first.Content[0])
	switch err := dec.Decode(&second); {
	case err == nil:
		p.problem(&second, "", "a second document begins here; put everything in one")
	case !errors.Is(err, io.EOF):
		p.syntax(err)
	}
}

// syntax reports an error of the YAML parser, which tells its line in words and no column.
func (p *documentParser) syntax(err error) {
	var at *yaml.Node
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		if line, err := strconv.Atoi(found[1]); err == nil {
			at, text = &yaml.Node{Line: line}, strings.TrimPrefix(text, found[0])
		}
	}
	p.problem(at, "", "is neither YAML nor JSON: %s; mend the text there", text)
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

func (p *documentParser) problem(n *yaml.Node, path, format string, args ...any) {
	pr := Problem{Source: p.doc.Source, Path: path, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		pr.Line, pr.Column = n.Line, n.Column
	}
	p.problems = append(p.problems, pr)
	p.unread[path] = true
}

// validated adds the problems of the message at path, except those of fields that could not be read in the first place.
func (p *documentParser) validated(path string, ps Problems) {
	for _, pr := range p.doc.At(path, ps) {
		if !p.unread[pr.Path] {
			p.problems = append(p.problems, pr)
		}
	}
}

func (p *documentParser) unknown(k *yaml.Node, path string, known ...string) {
	if len(known) == 0 {
		p.problem(k, path, "is not a field here, nor is anything else; remove it, or upgrade if it is newer than this program")
		return
	}
	p.problem(k, path, "is not a field here; write one of %s, or upgrade if it is newer than this program",
		strings.Join(known, ", "))
}

func (p *documentParser) at(path string, k *yaml.Node) {
	p.doc.positions[path] = position{k.Line, k.Column}
}

// each calls f for every key of the mapping n.
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
			p.problem(k, path, "%s stands where a name is expected; write a field or a name", describeNode(k))
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

func (p *documentParser) document(n *yaml.Node) {
	hasVersion := false
	p.each(n, "", func(key string, k, v *yaml.Node) {
		p.at(key, k)
		switch key {
		case "version":
			hasVersion = true
			if v.Value != DocumentVersion {
				p.problem(v, key, "%s is not a version that this program reads; write %s, or upgrade", describeNode(v), DocumentVersion)
			}
		case "defaults":
			p.doc.Defaults, p.doc.defaultsLines = decode[Service](p, v, key)
		case "services":
			p.each(v, key, p.service)
		default:
			p.unknown(k, key, "version", "defaults", "services")
		}
	})
	if !hasVersion && n.Kind == yaml.MappingNode {
		p.problem(n, "version", "is missing; write %s", DocumentVersion)
	}
}

func (p *documentParser) service(name string, k, v *yaml.Node) {
	path := "services." + name
	p.at(path, k)
	if !protoreflect.FullName(name).IsValid() {
		p.problem(k, path, "%q is not the full name of a service; write it as package.Service", name)
	}
	e := &Entry{Methods: make(map[string]*Method), Traits: make(map[string]*Traits), methodLines: make(map[string]Lines)}
	p.doc.Services[name] = e
	p.each(v, path, func(key string, k, v *yaml.Node) {
		sub := path + "." + key
		p.at(sub, k)
		switch key {
		case "policy":
			e.Policy, e.lines = decode[Service](p, v, sub)
		case "methods":
			p.eachMethod(v, sub, func(method string, v *yaml.Node) {
				e.Methods[method], e.methodLines[method] = decode[Method](p, v, join(sub, method))
			})
		case "traits":
			p.eachMethod(v, sub, func(method string, v *yaml.Node) {
				e.Traits[method], _ = decode[Traits](p, v, join(sub, method))
			})
		default:
			p.unknown(k, sub, "policy", "methods", "traits")
		}
	})
}

// eachMethod calls f for every key of the mapping n, which are names of RPCs.
func (p *documentParser) eachMethod(n *yaml.Node, path string, f func(method string, v *yaml.Node)) {
	p.each(n, path, func(method string, k, v *yaml.Node) {
		p.at(join(path, method), k)
		if !protoreflect.Name(method).IsValid() {
			p.problem(k, join(path, method), "%q is not the name of an RPC; write it as in the proto, without its service", method)
		}
		f(method, v)
	})
}

// decode reads and validates the message n at path. The keys of the lines are relative to it.
func decode[T Mergeable](p *documentParser, n *yaml.Node, path string) (*T, Lines) {
	v, lines := new(T), make(Lines)
	p.message(n, reflect.ValueOf(v).Elem(), path, "", lines)
	p.validated(path, Validate(v))
	return v, lines
}

// message decodes the mapping n into the struct dst. rel is path without the prefix of the layer.
func (p *documentParser) message(n *yaml.Node, dst reflect.Value, path, rel string, lines Lines) {
	s := schemaOf(dst.Type())
	seen := make(map[*field]bool)
	p.each(n, path, func(key string, k, v *yaml.Node) {
		f := s.byName[snakeCase(key)]
		if f == nil {
			p.unknown(k, join(path, key), s.names()...)
			return
		}
		sub := join(path, f.name)
		if seen[f] {
			p.problem(k, sub, "stands there twice, once in camel case; remove one")
			return
		}
		seen[f] = true
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
		if err := parseScalar(n, v.Elem(), f.kind); err != nil {
			p.problem(n, path, "%v", err)
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
