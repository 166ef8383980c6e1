package annotation

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Field numbers of descriptor.proto, by which the path of a source location is built.
const (
	fileOptionsField    = 8
	fileServiceField    = 6
	serviceOptionsField = 3
	serviceMethodField  = 2
	methodOptionsField  = 4
)

// optionKey names one option of one element of a file.
type optionKey struct {
	service, method int // indices; -1 where the option stands on the file or on the service
	extension       protoreflect.FieldNumber
}

// optionIndex has the locations of all policy options of one file, in the order of the text.
type optionIndex map[optionKey][]location

// location is where an option, or a field of it, is written.
type location struct {
	path       []int32 // of field numbers and list indices inside the option's value
	start, end position
}

type position struct{ line, column int } // from 0, as in descriptors

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

func newOptionIndex(file protoreflect.FileDescriptor) optionIndex {
	index := make(optionIndex)
	all := file.SourceLocations()
	for i := range all.Len() {
		loc := all.Get(i)
		key, rest, ok := splitPath(loc.Path)
		if !ok {
			continue
		}
		index[key] = append(index[key], location{
			path:  rest,
			start: position{loc.StartLine, loc.StartColumn},
			end:   position{loc.EndLine, loc.EndColumn},
		})
	}
	for _, locs := range index {
		slices.SortStableFunc(locs, func(a, b location) int {
			return cmp.Or(a.start.compare(b.start), b.end.compare(a.end), cmp.Compare(len(a.path), len(b.path)))
		})
	}
	return index
}

// splitPath tells which policy option a location belongs to, if any.
func splitPath(p protoreflect.SourcePath) (key optionKey, rest []int32, ok bool) {
	key = optionKey{service: -1, method: -1}
	switch {
	case len(p) >= 2 && p[0] == fileOptionsField:
		rest = p[1:]
	case len(p) >= 4 && p[0] == fileServiceField && p[2] == serviceOptionsField:
		key.service, rest = int(p[1]), p[3:]
	case len(p) >= 6 && p[0] == fileServiceField && p[2] == serviceMethodField && p[4] == methodOptionsField:
		key.service, key.method, rest = int(p[1]), int(p[3]), p[5:]
	default:
		return key, nil, false
	}
	key.extension = protoreflect.FieldNumber(rest[0])
	switch key.extension {
	case goresilientv1.E_Service.TypeDescriptor().Number(), goresilientv1.E_Traits.TypeDescriptor().Number():
		return key, rest[1:], true
	default:
		return key, nil, false
	}
}

// optionText is one option as it is written: its value's type and where its parts stand.
type optionText struct {
	file    string
	message protoreflect.MessageDescriptor
	locs    []location
	element Place // where the file, service or RPC is, for a compiler that gave no location of the option
}

// place returns the most precise position known for the field at path, e.g., "retry.max_attempts". One compiler tells
// where each field is, another only where the statement begins.
func (t optionText) place(path string) Place {
	if len(t.locs) == 0 {
		return t.element
	}
	want := fieldNumbers(t.message, path)
	best, bestCommon := t.locs[0], -1
	for _, loc := range t.locs {
		common := commonPrefix(want, loc.path)
		if common > bestCommon || common == bestCommon && len(loc.path) < len(best.path) {
			best, bestCommon = loc, common
		}
	}
	return Place{t.file, best.start.line + 1, best.start.column + 1}
}

// lines gives the line of each statement by the field that the statement sets, "" for the option as a whole. It uses
// nothing that compilers disagree about, since generated code must not depend on who compiled the schema. (They begin a
// statement at the word option or at the name after it, which differs only for who breaks the line between the two.)
func (t optionText) lines() policy.Lines {
	lines := make(policy.Lines)
	var end position
	for i, loc := range t.locs {
		if i > 0 && loc.start.compare(end) < 0 {
			continue // inside the statement before it
		}
		end = loc.end
		path := fieldPath(t.message, loc.path)
		for {
			if _, ok := lines[path]; !ok {
				lines[path] = loc.start.line + 1
			}
			if path == "" {
				break
			}
			path = parentPath(path)
		}
	}
	return lines
}

// optionPlace returns where the option of the given number stands on d, or else where d is.
func optionPlace(d protoreflect.Descriptor, number protoreflect.FieldNumber) Place {
	file := d.ParentFile()
	var path protoreflect.SourcePath
	switch d := d.(type) {
	case protoreflect.ServiceDescriptor:
		path = protoreflect.SourcePath{fileServiceField, int32(d.Index()), serviceOptionsField}
	case protoreflect.MethodDescriptor:
		path = protoreflect.SourcePath{
			fileServiceField, int32(d.Parent().Index()), serviceMethodField, int32(d.Index()), methodOptionsField,
		}
	default:
		path = protoreflect.SourcePath{fileOptionsField}
	}
	loc := file.SourceLocations().ByPath(append(path, int32(number)))
	if loc.Path == nil {
		return NamePlace(d)
	}
	return Place{file.Path(), loc.StartLine + 1, loc.StartColumn + 1}
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
