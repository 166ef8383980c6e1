package policy

// Idempotency is the idempotency_level of an RPC.
type Idempotency int

const (
	// IdempotencyUnknown is an RPC that may not be repeated.
	IdempotencyUnknown Idempotency = iota
	// NoSideEffects is an RPC that may be repeated, and sent twice at once.
	NoSideEffects
	// Idempotent is an RPC that may be repeated.
	Idempotent
)

// String returns the name as in a proto: "IDEMPOTENCY_UNKNOWN", "NO_SIDE_EFFECTS" or "IDEMPOTENT".
func (i Idempotency) String() string {
	switch i {
	case NoSideEffects:
		return "NO_SIDE_EFFECTS"
	case Idempotent:
		return "IDEMPOTENT"
	default:
		return "IDEMPOTENCY_UNKNOWN"
	}
}

// RPC is what the schema says of an RPC, which decides what may be done with it.
type RPC struct {
	// Idempotency is the idempotency_level.
	Idempotency Idempotency
	// ClientStreaming and ServerStreaming tell the kind of the RPC.
	ClientStreaming, ServerStreaming bool
	// Traits are its annotated facts; nil for none.
	Traits *Traits
}

// Streaming tells whether either side sends more than one message.
func (r RPC) Streaming() bool { return r.ClientStreaming || r.ServerStreaming }

// MayRetry tells whether repeating the RPC does no harm.
func (r RPC) MayRetry() bool {
	return r.Idempotency != IdempotencyUnknown || r.sideEffectFree() ||
		r.Traits != nil && r.Traits.IdempotentBecause != nil
}

// MayHedge tells whether sending the RPC twice at once does no harm. A stream is never hedged.
func (r RPC) MayHedge() bool { return !r.Streaming() && r.sideEffectFree() }

func (r RPC) sideEffectFree() bool {
	return r.Idempotency == NoSideEffects || r.Traits != nil && r.Traits.SideEffectFreeBecause != nil
}

// Withheld is a feature that an RPC inherits and that is not applied to it.
type Withheld struct {
	// Feature is the field, e.g., "retry".
	Feature string
	// Reason is in words, e.g., "idempotency_level is IDEMPOTENCY_UNKNOWN".
	Reason string
}

// Withhold returns m without what must not be applied to the RPC r, and what was taken out. It is for policy that r
// inherited; policy written on r itself is checked by [CheckWritten]. It changes nothing in m.
//
// Hedging or retrying a call that is not safe to repeat would do a thing twice that the caller asked for once.
func Withhold(m *Method, r RPC) (*Method, []Withheld) {
	out := Merge(nil, m)
	var held []Withheld
	if out.Retry != nil && !r.MayRetry() {
		if !Value(out.Retry.Disabled) {
			held = append(held, Withheld{"retry", "idempotency_level is " + r.Idempotency.String()})
		}
		out.Retry = nil
	}
	if out.Hedging != nil && !r.MayHedge() {
		if !Value(out.Hedging.Disabled) {
			held = append(held, Withheld{"hedging", hedgingRefusal(r)})
		}
		out.Hedging = nil
	}
	if r.Streaming() {
		out.Timeout = nil
	} else {
		out.StreamTimeout = nil
	}
	return out, held
}

func hedgingRefusal(r RPC) string {
	if r.Streaming() {
		return "a stream is never hedged"
	}
	return "idempotency_level is " + r.Idempotency.String()
}

// CheckWritten reports what m, written on the RPC r itself by an annotation, an option or an override, asks for that
// would be unsafe or has no meaning for r.
func CheckWritten(m *Method, r RPC) Problems {
	var ps Problems
	if m == nil {
		return nil
	}
	if m.Retry != nil && !Value(m.Retry.Disabled) && !r.MayRetry() {
		ps.add("retry", "the RPC is not safe to repeat, its idempotency_level is %v; declare it IDEMPOTENT or "+
			"NO_SIDE_EFFECTS, or say why it is safe in (goresilient.v1.traits).idempotent_because", r.Idempotency)
	}
	if m.Hedging != nil && !Value(m.Hedging.Disabled) && !r.MayHedge() {
		if r.Streaming() {
			ps.add("hedging", "a stream cannot be hedged; remove it")
		} else {
			ps.add("hedging", "the RPC is not safe to send twice at once, its idempotency_level is %v; declare it "+
				"NO_SIDE_EFFECTS, or say why it is safe in (goresilient.v1.traits).side_effect_free_because", r.Idempotency)
		}
	}
	if m.Timeout != nil && r.Streaming() {
		ps.add("timeout", "bounds unary calls and the RPC is a stream; write stream_timeout")
	}
	if m.StreamTimeout != nil && !r.Streaming() {
		ps.add("stream_timeout", "bounds streams and the RPC is unary; write timeout")
	}
	return ps
}
