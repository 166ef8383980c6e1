package annotation

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// extension returns the value of the option xt of d, and whether it is set.
func extension[M proto.Message](d protoreflect.Descriptor, xt protoreflect.ExtensionType) (value M, ok bool) {
	options := d.Options()
	if options == nil || !proto.HasExtension(options, xt) {
		return value, false
	}
	value, ok = proto.GetExtension(options, xt).(M)
	return value, ok
}

// idempotency returns the idempotency_level of an RPC.
func idempotency(md protoreflect.MethodDescriptor) policy.Idempotency {
	options, _ := md.Options().(*descriptorpb.MethodOptions)
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return policy.NoSideEffects
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return policy.Idempotent
	default:
		return policy.IdempotencyUnknown
	}
}

// newerOptions are the options of package goresilient.v1 that this program does not know, by the options message that
// they extend: the schema of the run is newer than the program.
type newerOptions map[protoreflect.FullName]map[protoreflect.FieldNumber]newerOption

type newerOption struct {
	name   protoreflect.FullName // e.g., "goresilient.v1.tomorrow"
	number protoreflect.FieldNumber
}

func findNewerOptions(files []protoreflect.FileDescriptor) newerOptions {
	newer := make(newerOptions)
	known := goresilientv1.File_goresilient_v1_policy_proto
	for _, file := range files {
		if file.Package() != known.Package() {
			continue
		}
		for i := range file.Extensions().Len() {
			xd := file.Extensions().Get(i)
			if known.Extensions().ByName(xd.Name()) != nil {
				continue
			}
			extendee := xd.ContainingMessage().FullName()
			if newer[extendee] == nil {
				newer[extendee] = make(map[protoreflect.FieldNumber]newerOption)
			}
			newer[extendee][xd.Number()] = newerOption{xd.FullName(), xd.Number()}
		}
	}
	return newer
}

// on returns the newer options that d carries.
func (n newerOptions) on(d protoreflect.Descriptor) []newerOption {
	options := d.Options()
	if len(n) == 0 || options == nil {
		return nil
	}
	m := options.ProtoReflect()
	byNumber := n[m.Descriptor().FullName()]
	var found []newerOption
	for raw := m.GetUnknown(); len(raw) > 0 && len(byNumber) > 0; {
		number, _, size := protowire.ConsumeField(raw)
		if size < 0 {
			break
		}
		if option, ok := byNumber[number]; ok {
			found = append(found, option)
		}
		raw = raw[size:]
	}
	return found
}
