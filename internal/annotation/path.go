package annotation

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// fieldNumbers turns "retry.max_attempts" into the numbers of the fields; it stops at a field that md does not have.
func fieldNumbers(md protoreflect.MessageDescriptor, path string) []int32 {
	var numbers []int32
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			break
		}
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			break
		}
		numbers = append(numbers, int32(fd.Number()))
		md = fd.Message()
	}
	return numbers
}

// fieldPath is the inverse of fieldNumbers. An index into a list is dropped.
func fieldPath(md protoreflect.MessageDescriptor, numbers []int32) string {
	var names []string
	for _, n := range numbers {
		if md == nil {
			break
		}
		fd := md.Fields().ByNumber(protoreflect.FieldNumber(n))
		if fd == nil {
			break
		}
		names = append(names, string(fd.Name()))
		md = fd.Message()
	}
	return strings.Join(names, ".")
}

// parentPath returns "retry" for "retry.max_attempts", and "" for "retry".
func parentPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// compactLines drops each line that the message around it has too; the lines of every field that v sets stay the same.
func compactLines(v any, lines policy.Lines) policy.Lines {
	if len(lines) == 0 {
		return nil
	}
	out := make(policy.Lines)
	for path := range policy.Fields(v) {
		line, ok := nearest(lines, path)
		if !ok {
			continue
		}
		if len(out) == 0 {
			out[""] = line
			if whole, ok := lines[""]; ok {
				out[""] = whole
			}
		}
		if known, _ := nearest(out, path); known != line {
			out[path] = line
		}
	}
	return out
}

// nearest returns the line of path, or of the closest message around it that has one.
func nearest(lines policy.Lines, path string) (line int, ok bool) {
	for {
		if line, ok = lines[path]; ok || path == "" {
			return line, ok
		}
		path = parentPath(path)
	}
}
