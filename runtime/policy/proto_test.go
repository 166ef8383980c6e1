package policy

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
)

func TestProtoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawPolicy[Service](t, "service"), drawPolicy[Method](t, "method")
		service, method := new(goresilientv1.ServicePolicy), new(goresilientv1.MethodPolicy)
		overTheWire(t, ServiceToProto(s), service)
		overTheWire(t, MethodToProto(m), method)
		gotService, problems := ServiceFromProto(service)
		gotMethod, more := MethodFromProto(method)
		if err := append(problems, more...).Err(); err != nil {
			t.Fatal(err)
		}
		if !Equal(gotService, s) {
			t.Errorf("got  %v\nwant %v", plain(gotService), plain(s))
		}
		if !Equal(gotMethod, m) {
			t.Errorf("got  %v\nwant %v", plain(gotMethod), plain(m))
		}
	})
}

func overTheWire(t *rapid.T, from, to proto.Message) {
	b, err := proto.Marshal(from)
	if err == nil {
		err = proto.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFromProtoNil(t *testing.T) {
	if s, ps := ServiceFromProto(nil); s != nil || ps != nil {
		t.Errorf("got %v, %v, want nil", s, ps)
	}
	if ServiceToProto(nil) != nil || MethodToProto(nil) != nil {
		t.Error("nil became a message")
	}
}

func TestTraitsFromProto(t *testing.T) {
	got, ps := TraitsFromProto(&goresilientv1.MethodTraits{
		HashKey:           proto.String("user.id"),
		IdempotentBecause: proto.String("the server drops a repeated request_id"),
	})
	want := &Traits{HashKey: Set("user.id"), IdempotentBecause: Set("the server drops a repeated request_id")}
	if ps != nil || !Equal(got, want) {
		t.Errorf("got %v, %v, want %v", plain(got), ps, plain(want))
	}
}

func TestFromProtoProblems(t *testing.T) {
	newer := &goresilientv1.Retry{}
	newer.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 500, protowire.VarintType), 1))
	got, ps := MethodFromProto(&goresilientv1.MethodPolicy{
		Timeout: &goresilientv1.Timeout{Total: proto.String("1 second"), PerAttempt: proto.String("5ms")},
		Retry:   newer,
	})
	want := `timeout.total: "1 second" is not a duration; write a number with a unit, such as "250ms" or "1m30s"
retry: has a field that this version does not know; upgrade goresilient to the version that the schema is from`
	if ps.Error() != want {
		t.Errorf("got\n%v\nwant\n%v", ps, want)
	}
	if *got.Timeout.PerAttempt != 5*time.Millisecond {
		t.Errorf("what is right was not read: %v", plain(got))
	}
}

func TestFromProtoUnknownCode(t *testing.T) {
	got, ps := MethodFromProto(&goresilientv1.MethodPolicy{Retry: &goresilientv1.Retry{
		Codes: []goresilientv1.Code{goresilientv1.Code_CODE_UNAVAILABLE, goresilientv1.Code_CODE_UNSPECIFIED, 99},
	}})
	if ps != nil || len(got.Retry.Codes) != 3 || got.Retry.Codes[0] != codes.Unavailable {
		t.Fatalf("got %v, %v", plain(got), ps)
	}
	want := "retry.codes: OK is never a failure; remove it\n" +
		"retry.codes: 99 is no gRPC code; write a name such as UNAVAILABLE"
	if ps := Validate(got); ps.Error() != want {
		t.Errorf("got\n%v\nwant\n%v", ps, want)
	}
}
