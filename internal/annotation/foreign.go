package annotation

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
)

// optionNumber is the number of an option and what it extends, e.g., "google.protobuf.ServiceOptions".
type optionNumber struct {
	extendee protoreflect.FullName
	number   protoreflect.FieldNumber
}

func numberOf(xt protoreflect.ExtensionType) optionNumber { return numberOfField(xt.TypeDescriptor()) }

func numberOfField(xd protoreflect.FieldDescriptor) optionNumber {
	return optionNumber{xd.ContainingMessage().FullName(), xd.Number()}
}

// findForeign reports options of the run that have the number of a policy option and are another one: which of the two
// a value belongs to, nobody can tell. It returns their numbers.
func (r *reader) findForeign() map[optionNumber]bool {
	ours := make(map[optionNumber]protoreflect.FullName)
	own := goresilientv1.File_goresilient_v1_policy_proto.Extensions()
	for i := range own.Len() {
		ours[numberOfField(own.Get(i))] = own.Get(i).FullName()
	}
	foreign := make(map[optionNumber]bool)
	var declared func(protoreflect.ExtensionDescriptors, protoreflect.MessageDescriptors)
	declared = func(xds protoreflect.ExtensionDescriptors, mds protoreflect.MessageDescriptors) {
		for i := range xds.Len() {
			xd := xds.Get(i)
			key := numberOfField(xd)
			if name := ours[key]; name != "" && name != xd.FullName() {
				foreign[key] = true
				r.reportText(NamePlace(xd), string(xd.FullName()), fmt.Sprintf("has the number %d, which is that of "+
					"(%s) in %s; choose another number", key.number, name, key.extendee))
			}
		}
		for i := range mds.Len() {
			declared(mds.Get(i).Extensions(), mds.Get(i).Messages())
		}
	}
	for _, file := range r.in.Known {
		declared(file.Extensions(), file.Messages())
	}
	return foreign
}
