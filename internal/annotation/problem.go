package annotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// Place is a position in a text. Line and Column count from 1; they are 0 where the compiler gave none.
type Place struct {
	File         string // e.g., "acme/inventory/v1/inventory.proto"
	Line, Column int
}

// Problem is one thing that is wrong with the input of a run.
type Problem struct {
	Place
	// Subject is whom it concerns, e.g., "acme.inventory.v1.InventoryService.GetItem" or "file option".
	Subject string
	// Path is the field, e.g., "retry.max_attempts"; "" for what concerns no single field.
	Path string
	// Text says what is wrong, with the value, and what to write instead.
	Text string
}

// Error returns "file:line:col: subject: path: text", without what is unknown.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	b.WriteString(": ")
	for _, part := range []string{p.Subject, p.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything that is wrong with a run, in the order of files and lines.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets [errors.As] reach each [Problem].
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// Sorted returns ps by file, line, column, subject, field and text, each once.
func (ps Problems) Sorted() Problems {
	out := slices.Clone(ps)
	slices.SortFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(out)
}

// DocumentProblems converts what [policy.ParseDocument] reports.
func DocumentProblems(ps policy.Problems) Problems {
	out := make(Problems, len(ps))
	for i, p := range ps {
		out[i] = Problem{Place: Place{p.Source, p.Line, p.Column}, Path: p.Path, Text: p.Text}
	}
	return out
}

// NamePlace returns where the name of d, a service, an RPC or an extension, is written, or where d begins.
func NamePlace(d protoreflect.Descriptor) Place {
	const nameField = 1 // the same in ServiceDescriptorProto, MethodDescriptorProto and FieldDescriptorProto
	file := d.ParentFile()
	element := file.SourceLocations().ByDescriptor(d)
	loc := file.SourceLocations().ByPath(append(slices.Clone(element.Path), nameField))
	if loc.Path == nil {
		loc = element
	}
	if loc.Path == nil {
		return Place{File: file.Path()}
	}
	return Place{file.Path(), loc.StartLine + 1, loc.StartColumn + 1}
}
