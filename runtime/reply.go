package goresilient

import (
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// replyType is the type of a reply.
type replyType struct {
	message protoreflect.MessageType // nil if it is no protobuf message
	other   reflect.Type
}

// typeOf returns the type of out, which is a pointer. Of a message it reads out, which no attempt may write to meanwhile.
func typeOf(out any) replyType {
	if m, ok := out.(proto.Message); ok {
		return replyType{message: m.ProtoReflect().Type()}
	}
	return replyType{other: reflect.TypeOf(out).Elem()}
}

// fresh returns an empty message. Each attempt has one of its own, so that none can write into the reply of another.
func (t replyType) fresh() any {
	if t.message != nil {
		return t.message.New().Interface()
	}
	return reflect.New(t.other).Interface()
}

// handOver makes out, which a failed attempt may have written to, equal to reply, which nobody else refers to.
func handOver(out, reply any) {
	if m, ok := out.(proto.Message); ok {
		proto.Reset(m)
		proto.Merge(m, reply.(proto.Message))
		return
	}
	reflect.ValueOf(out).Elem().Set(reflect.ValueOf(reply).Elem())
}
