package generator_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/goresilient/goresilient/internal/generator/golden/hashkey"
	hashkeygoresilient "github.com/goresilient/goresilient/internal/generator/golden/hashkey/goresilient"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

const (
	keyHeader = "x-key"
	fleetSize = 7
)

// fleet starts servers that answer every RPC of the golden "hashkey" with their own address, and returns the options of
// clients that choose among them by the key of a call.
func fleet(t *testing.T) []goresilient.Option {
	t.Helper()
	listeners := make(map[string]*bufconn.Listener)
	var addresses []string
	for i := range fleetSize {
		address := fmt.Sprintf("server-%d:1", i)
		addresses = append(addresses, address)
		listener := bufconn.Listen(1 << 16)
		listeners[address] = listener
		server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
				return err
			}
			return s.SendMsg(&hashkey.Answer{Server: address})
		}))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := server.Serve(listener); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { server.Stop(); <-done })
	}
	return []goresilient.Option{
		goresilient.WithTarget("static:///" + strings.Join(addresses, ",")),
		goresilient.WithPolicy(&policy.Service{
			LoadBalancing: &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{Header: policy.Set(keyHeader), LoadFactor: policy.Set(100.0)}},
			Dial:          &policy.Dial{Block: policy.Set(true), MinReady: policy.Set(fleetSize)},
		}),
		goresilient.WithDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return listeners[address].DialContext(ctx)
		}),
		goresilient.WithInsecure(), goresilient.WithoutEnvironment(),
	}
}

// open makes a client that knows the whole fleet, and closes it at the end of the test.
func open[C any](t *testing.T, construct func(...goresilient.Option) (C, error), runtime func(C) *goresilient.Client, opts []goresilient.Option) C {
	t.Helper()
	client, err := construct(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime(client).Close(); err != nil {
			t.Error(err)
		}
	})
	answered := make(map[string]bool)
	for i := 0; len(answered) < fleetSize; i++ { // connections that are ready may be a millisecond away from taking calls
		answer := new(hashkey.Answer)
		if err := runtime(client).Conn().Invoke(t.Context(), "/any.Service/Any", new(hashkey.Key), answer, goresilient.HashKey(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		answered[answer.GetServer()] = true
	}
	return client
}

// unary and streaming are RPCs of generated clients.
type (
	unary[Req any]     = func(context.Context, *Req, ...grpc.CallOption) (*hashkey.Answer, error)
	streaming[Req any] = func(context.Context, *Req, ...grpc.CallOption) (grpc.ServerStreamingClient[hashkey.Answer], error)
)

// chosen returns which server answers a call.
func chosen[Req any](t *testing.T, call unary[Req], ctx context.Context, in *Req, opts ...grpc.CallOption) string {
	t.Helper()
	answer, err := call(ctx, in, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetServer()
}

// first turns a stream into a call that ends with its first message.
func first[Req any](open streaming[Req]) unary[Req] {
	return func(ctx context.Context, in *Req, opts ...grpc.CallOption) (*hashkey.Answer, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := open(ctx, in, opts...)
		if err != nil {
			return nil, err
		}
		return stream.Recv()
	}
}

// TestKeysReachTheBalancer: whatever kind of field a key is from, its text in a header chooses the same server.
func TestKeysReachTheBalancer(t *testing.T) {
	opts := fleet(t)
	kinds := open(t, hashkey.NewKindsResilientClient, func(c *hashkey.KindsResilientClient) *goresilient.Client { return c.Client }, opts)
	streams := open(t, hashkey.NewStreamsResilientClient, func(c *hashkey.StreamsResilientClient) *goresilient.Client { return c.Client }, opts)
	byHeader := func(t *testing.T, text string) string {
		return chosen(t, kinds.Header, metadata.AppendToOutgoingContext(t.Context(), keyHeader, text), new(hashkey.Key))
	}
	// key has the number i in the field that the RPCs read; text is its text.
	for _, test := range []struct {
		name  string
		calls []unary[hashkey.Key]
		key   func(i int) *hashkey.Key
		text  func(i int) string // nil for decimal digits
	}{
		{"string", []unary[hashkey.Key]{kinds.Text, first(streams.Text)}, func(i int) *hashkey.Key { return &hashkey.Key{Text: strconv.Itoa(i)} }, nil},
		{"bytes", []unary[hashkey.Key]{kinds.Raw, first(streams.Raw)}, func(i int) *hashkey.Key { return &hashkey.Key{Raw: strconv.AppendInt(nil, int64(i), 10)} }, nil},
		{"bool", []unary[hashkey.Key]{kinds.Flag, first(streams.Flag)}, func(i int) *hashkey.Key { return &hashkey.Key{Flag: i > 0} }, func(i int) string { return strconv.FormatBool(i > 0) }},
		{"float", []unary[hashkey.Key]{kinds.Single}, func(i int) *hashkey.Key { return &hashkey.Key{Single: float32(i) + 0.1} }, func(i int) string { return strconv.FormatFloat(float64(float32(i)+0.1), 'g', -1, 32) }},
		{"double", []unary[hashkey.Key]{kinds.Real, first(streams.Real)}, func(i int) *hashkey.Key { return &hashkey.Key{Real: float64(i) / 8} }, func(i int) string { return fmt.Sprint(float64(i) / 8) }},
		{"int32", []unary[hashkey.Key]{kinds.I32}, func(i int) *hashkey.Key { return &hashkey.Key{I32: int32(i)} }, nil},
		{"int64", []unary[hashkey.Key]{kinds.I64, first(streams.I64)}, func(i int) *hashkey.Key { return &hashkey.Key{I64: math.MinInt64 + int64(i)} }, func(i int) string { return strconv.FormatInt(math.MinInt64+int64(i), 10) }},
		{"sint32", []unary[hashkey.Key]{kinds.S32}, func(i int) *hashkey.Key { return &hashkey.Key{S32: int32(-i)} }, func(i int) string { return strconv.Itoa(-i) }},
		{"sint64", []unary[hashkey.Key]{kinds.S64}, func(i int) *hashkey.Key { return &hashkey.Key{S64: int64(i)} }, nil},
		{"sfixed32", []unary[hashkey.Key]{kinds.SF32}, func(i int) *hashkey.Key { return &hashkey.Key{Sf32: int32(i)} }, nil},
		{"sfixed64", []unary[hashkey.Key]{kinds.SF64}, func(i int) *hashkey.Key { return &hashkey.Key{Sf64: int64(i)} }, nil},
		{"uint32", []unary[hashkey.Key]{kinds.U32, first(streams.U32)}, func(i int) *hashkey.Key { return &hashkey.Key{U32: uint32(i)} }, nil},
		{"uint64", []unary[hashkey.Key]{kinds.U64}, func(i int) *hashkey.Key { return &hashkey.Key{U64: math.MaxUint64 - uint64(i)} }, func(i int) string { return strconv.FormatUint(math.MaxUint64-uint64(i), 10) }},
		{"fixed32", []unary[hashkey.Key]{kinds.F32}, func(i int) *hashkey.Key { return &hashkey.Key{F32: uint32(i)} }, nil},
		{"fixed64", []unary[hashkey.Key]{kinds.F64}, func(i int) *hashkey.Key { return &hashkey.Key{F64: uint64(i)} }, nil},
		{"enum", []unary[hashkey.Key]{kinds.Color, first(streams.Color)}, func(i int) *hashkey.Key { return &hashkey.Key{Color: hashkey.Key_Color(i)} }, nil},
		{"optional", []unary[hashkey.Key]{kinds.Maybe, first(streams.Maybe)}, func(i int) *hashkey.Key { return &hashkey.Key{Maybe: proto.String(strconv.Itoa(i))} }, nil},
		{"in a oneof", []unary[hashkey.Key]{kinds.Member, first(streams.Member)}, func(i int) *hashkey.Key { return &hashkey.Key{One: &hashkey.Key_Member{Member: strconv.Itoa(i)}} }, nil},
		{"in a message in a oneof", []unary[hashkey.Key]{kinds.Inside}, func(i int) *hashkey.Key {
			return &hashkey.Key{One: &hashkey.Key_Inside{Inside: &hashkey.Key_Inner{Id: strconv.Itoa(i)}}}
		}, nil},
		{"nested", []unary[hashkey.Key]{kinds.Inner, first(streams.Inner)}, func(i int) *hashkey.Key {
			return &hashkey.Key{Inner: &hashkey.Key_Inner{Inner: &hashkey.Key_Inner{Id: strconv.Itoa(i)}}}
		}, nil},
		{"absent", []unary[hashkey.Key]{kinds.Inner, kinds.Inside, kinds.Maybe, first(streams.Member)}, func(int) *hashkey.Key { return new(hashkey.Key) }, func(int) string { return "" }},
		{"no request", []unary[hashkey.Key]{kinds.Text}, func(int) *hashkey.Key { return nil }, func(int) string { return "" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range 10 {
				text := strconv.Itoa(i)
				if test.text != nil {
					text = test.text(i)
				}
				want := byHeader(t, text)
				for j, call := range test.calls {
					if got := chosen(t, call, t.Context(), test.key(i)); got != want {
						t.Errorf("RPC %d with the key %q chooses %s, a header with its text %s", j, text, got, want)
					}
				}
			}
		})
	}
	t.Run("the caller's own key wins", func(t *testing.T) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), keyHeader, "elsewhere")
		for i := range 10 {
			text := strconv.Itoa(i)
			for j, call := range []unary[hashkey.Key]{kinds.Text, first(streams.Text)} {
				if got := chosen(t, call, ctx, &hashkey.Key{Text: "field"}, goresilient.HashKey(text)); got != byHeader(t, text) {
					t.Errorf("RPC %d with the key %q chooses %s, a header with its text %s", j, text, got, byHeader(t, text))
				}
				if got := chosen(t, call, ctx, &hashkey.Key{Text: text}); got != byHeader(t, text) {
					t.Errorf("RPC %d chooses by the header although the request has the key %q", j, text)
				}
			}
		}
	})
}

// TestKeysUnderOtherNames reads keys from messages whose accessors have names of their own.
func TestKeysUnderOtherNames(t *testing.T) {
	opts := fleet(t)
	kinds := open(t, hashkey.NewKindsResilientClient, func(c *hashkey.KindsResilientClient) *goresilient.Client { return c.Client }, opts)
	clashes := open(t, hashkey.NewClashesResilientClient, func(c *hashkey.ClashesResilientClient) *goresilient.Client { return c.ClashesResilientRuntime }, opts)
	old := open(t, hashkey.NewProto2ResilientClient, func(c *hashkey.Proto2ResilientClient) *goresilient.Client { return c.Client }, opts)
	opaque := open(t, hashkey.NewOpaqueResilientClient, func(c *hashkey.OpaqueResilientClient) *goresilient.Client { return c.Client }, opts)
	hybrid := func(h *hashkey.Hybrid) *hashkey.Hidden { return hashkey.Hidden_builder{Hybrid: h}.Build() }
	for name, call := range map[string]func(t *testing.T, text string) string{
		"get_name": func(t *testing.T, text string) string {
			return chosen(t, clashes.GetName, t.Context(), &hashkey.Mangled{GetName_: text})
		},
		"string": func(t *testing.T, text string) string {
			return chosen(t, clashes.String, t.Context(), &hashkey.Mangled{String_: text})
		},
		"descriptor.reset": func(t *testing.T, text string) string {
			return chosen(t, first(clashes.Reset), t.Context(), &hashkey.Mangled{Descriptor_: &hashkey.Mangled{Reset_: text}})
		},
		"_under": func(t *testing.T, text string) string {
			return chosen(t, clashes.Under, t.Context(), &hashkey.Mangled{XUnder: text})
		},
		"camelCase": func(t *testing.T, text string) string {
			return chosen(t, first(clashes.CamelCase), t.Context(), &hashkey.Mangled{CamelCase: text})
		},
		"x_2y": func(t *testing.T, text string) string {
			return chosen(t, clashes.X2Y, t.Context(), &hashkey.Mangled{X_2Y: text})
		},
		"in": func(t *testing.T, text string) string {
			return chosen(t, clashes.In, t.Context(), &hashkey.In{In: text})
		},
		"goresilient.key": func(t *testing.T, text string) string {
			inner := &hashkeygoresilient.Goresilient{Key: []byte(text)}
			return chosen(t, first(clashes.Goresilient), t.Context(), &hashkeygoresilient.Goresilient{
				GoresilientKind: &hashkeygoresilient.Goresilient_Goresilient{Goresilient: inner},
			})
		},
		"name, of an RPC Client": func(t *testing.T, text string) string {
			return chosen(t, first(clashes.Client), t.Context(), &hashkey.Mangled{Name: text})
		},
		"a group": func(t *testing.T, text string) string {
			return chosen(t, old.Raw, t.Context(), &hashkey.Old{Id: new(string), Part: &hashkey.Old_Part{Raw: []byte(text)}})
		},
		"opaque": func(t *testing.T, text string) string {
			return chosen(t, opaque.String, t.Context(), hashkey.Hidden_builder{String: &text}.Build())
		},
		"hybrid": func(t *testing.T, text string) string {
			return chosen(t, opaque.HybridString, t.Context(), hybrid(hashkey.Hybrid_builder{String: &text}.Build()))
		},
		"hybrid get_id": func(t *testing.T, text string) string {
			return chosen(t, first(opaque.HybridGetId), t.Context(), hybrid(hashkey.Hybrid_builder{GetId: &text}.Build()))
		},
		"the default of proto2": func(t *testing.T, _ string) string {
			return chosen(t, old.Number, t.Context(), &hashkey.Old{Id: new(string)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 10 {
				text := strconv.Itoa(i)
				if name == "the default of proto2" {
					text = "42"
				}
				want := chosen(t, kinds.Header, metadata.AppendToOutgoingContext(t.Context(), keyHeader, text), new(hashkey.Key))
				if got := call(t, text); got != want {
					t.Errorf("the key %q chooses %s, a header with its text %s", text, got, want)
				}
			}
		})
	}
}
