package goresilient

import (
	"context"

	"github.com/goresilient/goresilient/runtime/policy"
)

// ServiceDesc is what a generated file says of a service: its RPCs, and its policy as the schema declares it. Generated
// code alone makes one; it is never changed.
type ServiceDesc struct {
	// Name is the full name, e.g., "acme.inventory.v1.InventoryService".
	Name string
	// Layers is the annotated policy, lowest level first.
	Layers []policy.Layer
	// Methods are the RPCs in the order of the schema.
	Methods []MethodDesc
}

// MethodDesc is what a generated file says of an RPC.
type MethodDesc struct {
	// Name is the name in the schema, e.g., "GetItem".
	Name string
	// Idempotency is the idempotency_level.
	Idempotency policy.Idempotency
	// ClientStreaming and ServerStreaming tell the kind of the RPC.
	ClientStreaming, ServerStreaming bool
	// Traits are the annotated facts; nil for none.
	Traits *policy.Traits
}

func (m MethodDesc) rpc() policy.RPC {
	return policy.RPC{
		Idempotency:     m.Idempotency,
		ClientStreaming: m.ClientStreaming,
		ServerStreaming: m.ServerStreaming,
		Traits:          m.Traits,
	}
}

// UnaryOptions tunes one unary RPC of a generated client.
type UnaryOptions[Req, Res any] struct {
	// Policy lies over what the schema and the resolver say of the RPC, field by field. nil changes nothing.
	Policy *policy.Method
	// Fallback answers in place of a call that failed, with its error, after everything else was tried. What it returns is
	// what the caller gets. It runs under the caller's context, whose deadline may have passed, and not for a client that is
	// closed. nil: the error is returned.
	Fallback func(ctx context.Context, in *Req, err error) (*Res, error)
}

// StreamOptions tunes one streaming RPC of a generated client.
type StreamOptions struct {
	// Policy lies over what the schema and the resolver say of the RPC, field by field. nil changes nothing.
	Policy *policy.Method
}

// MethodOptions is a [UnaryOptions] or a [StreamOptions].
type MethodOptions interface {
	methodPolicy() *policy.Method
	fallback() any // nil, or the function
}

func (o UnaryOptions[Req, Res]) methodPolicy() *policy.Method { return o.Policy }
func (o StreamOptions) methodPolicy() *policy.Method          { return o.Policy }

func (o UnaryOptions[Req, Res]) fallback() any {
	if o.Fallback == nil {
		return nil
	}
	return o.Fallback
}

func (o StreamOptions) fallback() any { return nil }
