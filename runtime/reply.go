package goresilient

import (
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// newReply returns a reply for a call under the plan p, and what its first attempt hears from the server besides, if the attempt
// has nothing else on the heap: the two are one allocation then.
func newReply[Res any](p *plan) (*Res, *attemptState) {
	if !p.listens {
		return new(Res), nil
	}
	both := new(struct {
		reply Res
		heard attemptState
	})
	return &both.reply, &both.heard
}

// replyType is the type of a reply.
type replyType struct {
	message protoreflect.MessageType // nil if it is no protobuf message
	pointer reflect.Type             // to it
}

// typeOf returns the type of out, which is a pointer. Of a message it reads out, which no attempt may write to meanwhile.
func typeOf(out any) replyType {
	t := replyType{pointer: reflect.TypeOf(out)}
	if m, ok := out.(proto.Message); ok {
		t.message = m.ProtoReflect().Type()
	}
	return t
}

// kindOf is typeOf. It remembers the type, since the replies of an RPC are of one.
func (m *method) kindOf(out any) *replyType {
	if t := m.kind.Load(); t != nil && t.pointer == reflect.TypeOf(out) {
		return t
	}
	t := typeOf(out)
	if _, generated := t.message.(*protoimpl.MessageInfo); generated || t.message == nil { // of others, one Go type may be many messages
		m.kind.Store(&t)
	}
	return &t
}

// fresh returns an empty message. Each attempt has one of its own, so that none can write into the reply of another.
func (t replyType) fresh() any {
	if t.message != nil {
		return t.message.New().Interface()
	}
	return reflect.New(t.pointer.Elem()).Interface()
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
