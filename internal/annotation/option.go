package annotation

import (
	"errors"
	"iter"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// extension returns the value of the option xt of d, and whether it is set. The error, which tells what to do, is of a
// value that is not what the schema says.
func extension[M proto.Message](d protoreflect.Descriptor, xt protoreflect.ExtensionType) (value M, ok bool, err error) {
	options := d.Options()
	if options == nil {
		return value, false, nil
	}
	if !proto.HasExtension(options, xt) {
		if options, err = decodeUnknown(options, xt); options == nil {
			return value, false, err
		}
	}
	value, ok = proto.GetExtension(options, xt).(M)
	return value, ok, nil
}

// decodeUnknown decodes the option xt of options that the program's input kept as bytes: because the bytes of some
// option do not fit, or because those of this one are of another type. The result is nil if there is no such option.
func decodeUnknown(options proto.Message, xt protoreflect.ExtensionType) (decoded proto.Message, err error) {
	var raw []byte
	for number, field := range unknownFields(options.ProtoReflect()) {
		if number == xt.TypeDescriptor().Number() {
			raw = append(raw, field...)
		}
	}
	if raw == nil {
		return nil, nil
	}
	decoded = options.ProtoReflect().New().Interface()
	err = proto.Unmarshal(raw, decoded)
	switch {
	case err != nil && strings.Contains(err.Error(), "UTF-8"):
		return nil, errors.New("has text that is not UTF-8; write its strings in UTF-8")
	case err != nil || !proto.HasExtension(decoded, xt):
		return nil, errors.New("has a value that is not of the option's type; import the schema that " +
			"protoc-gen-goresilient proto -o DIR writes")
	}
	return decoded, nil
}

// unknownFields yields the fields of m that were not decoded, each with its tag.
func unknownFields(m protoreflect.Message) iter.Seq2[protoreflect.FieldNumber, []byte] {
	return func(yield func(protoreflect.FieldNumber, []byte) bool) {
		for raw := m.GetUnknown(); len(raw) > 0; {
			number, _, size := protowire.ConsumeField(raw)
			if size < 0 || !yield(number, raw[:size]) {
				return
			}
			raw = raw[size:]
		}
	}
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
	for number := range unknownFields(m) {
		if option, ok := byNumber[number]; ok {
			found = append(found, option)
		}
	}
	return found
}
