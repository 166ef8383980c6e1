package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// syntaxPath is where a file's first comment is kept: FileDescriptorProto.syntax.
var syntaxPath = protoreflect.SourcePath{12}

// page is the reference while it is written.
type page struct {
	bytes.Buffer
	errs []error
}

// render writes the reference of the schema as Markdown.
func render(schema protoreflect.FileDescriptor) ([]byte, error) {
	p := new(page)
	p.line("<!-- Made from the comments in proto/%s by: go run ./internal/docgen. DO NOT EDIT. -->", schemaFile)
	p.line("\n# Policy reference\n")
	p.introduction(schema.SourceLocations().ByPath(syntaxPath).LeadingComments)
	p.options(schema.Extensions())
	p.contents(schema)
	for i := range schema.Messages().Len() {
		p.message(schema.Messages().Get(i))
	}
	for i := range schema.Enums().Len() {
		p.enum(schema.Enums().Get(i))
	}
	return p.Bytes(), errors.Join(p.errs...)
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// row writes a row of a table. A bar within a cell would end it.
func (p *page) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	p.line("| %s |", strings.Join(cells, " | "))
}

func (p *page) header(cells ...string) {
	p.row(cells...)
	p.line("|%s", strings.Repeat("---|", len(cells)))
}

// introduction writes the comment at the top of the schema, whose lists lack Markdown's blank line before them.
func (p *page) introduction(comment string) {
	inList := false
	for line := range strings.Lines(strings.TrimRight(comment, "\n")) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, " "), "\n")
		item := strings.HasPrefix(strings.TrimSpace(line), "- ")
		if item && !inList {
			p.line("")
		}
		inList = inList || item
		p.line("%s", strings.TrimPrefix(line, "  "))
	}
}

func (p *page) options(extensions protoreflect.ExtensionDescriptors) {
	p.line("\n## Options\n")
	p.header("Option", "Value", "Meaning")
	for i := range extensions.Len() {
		x := extensions.Get(i)
		p.row(fmt.Sprintf("`(%s)`", x.FullName()), link(x.Message()), comment(x))
	}
}

func (p *page) contents(schema protoreflect.FileDescriptor) {
	p.line("\n## Messages\n")
	for i := range schema.Messages().Len() {
		p.line("- %s", link(schema.Messages().Get(i)))
	}
	for i := range schema.Enums().Len() {
		p.line("- %s", link(schema.Enums().Get(i)))
	}
}

func (p *page) message(md protoreflect.MessageDescriptor) {
	p.line("\n### %s\n\n%s", md.Name(), comment(md))
	for i := range md.Oneofs().Len() {
		if o := md.Oneofs().Get(i); !o.IsSynthetic() {
			p.line("\nAt most one of %s: %s", arms(o), lowerFirst(comment(o)))
		}
	}
	if md.Fields().Len() == 0 {
		return
	}
	p.line("")
	p.header("Field", "Type", "Default", "Range", "Scope", "Meaning")
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f, err := parseComment(comment(fd))
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("%s: %w", fd.FullName(), err))
		}
		limits := strings.TrimLeft(strings.TrimPrefix(f.limits, "a duration"), ",; ") // which the type says already
		p.row(fmt.Sprintf("`%s`", fd.Name()), typeName(fd, f), f.def, limits, f.scope, f.meaning)
	}
}

func (p *page) enum(ed protoreflect.EnumDescriptor) {
	p.line("\n### %s\n\n%s\n", ed.Name(), comment(ed))
	p.header("Name", "Number", "Meaning")
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		p.row(fmt.Sprintf("`%s`", v.Name()), fmt.Sprint(v.Number()), comment(v))
	}
}

func arms(o protoreflect.OneofDescriptor) string {
	names := make([]string, o.Fields().Len())
	for i := range names {
		names[i] = fmt.Sprintf("`%s`", o.Fields().Get(i).Name())
	}
	return strings.Join(names, ", ")
}

// typeName is how a reader writes the field: a duration is a string with a meaning of its own.
func typeName(fd protoreflect.FieldDescriptor, f facts) string {
	switch {
	case fd.IsMap():
		return "map from name to " + link(fd.MapValue().Message())
	case fd.IsList():
		return "list of " + link(fd.Enum())
	case fd.Message() != nil:
		return link(fd.Message())
	case strings.HasPrefix(f.limits, "a duration"):
		return "duration"
	default:
		return fd.Kind().String()
	}
}

func link(d protoreflect.Descriptor) string {
	return fmt.Sprintf("[%s](#%s)", d.Name(), strings.ToLower(string(d.Name())))
}

// comment returns the comment before d as one line.
func comment(d protoreflect.Descriptor) string {
	return strings.Join(strings.Fields(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments), " ")
}
