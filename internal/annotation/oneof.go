package annotation

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// twoArms reports arms of one oneof that are set by different statements. protoc accepts them, and of the value that it
// hands over only the last arm is left.
func (t optionText) twoArms() policy.Problems {
	type group struct{ parent, oneof string }
	first := make(map[group]protoreflect.Name)
	var ps policy.Problems
	for _, loc := range t.locs {
		md, parent := t.message, ""
		for i, n := range loc.path {
			fd := md.Fields().ByNumber(protoreflect.FieldNumber(n))
			if fd == nil {
				break
			}
			path := fieldPath(t.message, loc.path[:i+1])
			if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
				key := group{parent, string(oneof.Name())}
				if first[key] == "" {
					first[key] = fd.Name()
				} else if first[key] != fd.Name() {
					ps = append(ps, policy.Problem{
						Path: path,
						Text: "stands beside " + string(first[key]) + ", and only one of them can hold; remove one",
					})
				}
			}
			if fd.Message() == nil || fd.IsList() {
				break // an index into the list follows
			}
			md, parent = fd.Message(), path
		}
	}
	return ps
}
