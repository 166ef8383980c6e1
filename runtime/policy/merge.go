package policy

import "reflect"

// Mergeable are the types that stand at a level of their own.
type Mergeable interface {
	Service | Method | Traits
}

// Merge returns base overlaid with over, field by field, and changes neither. Either may be nil.
//
//   - A field that over leaves nil keeps the value of base: absent differs from zero.
//   - A non-empty list replaces the list of base, an empty one inherits.
//   - Another arm of a oneof replaces the arm of base whole; the same arm merges into it.
//
// Merge is associative and idempotent.
func Merge[T Mergeable](base, over *T) *T {
	out := new(T)
	if base != nil {
		mergeStruct(reflect.ValueOf(out).Elem(), reflect.ValueOf(base).Elem())
	}
	if over != nil {
		mergeStruct(reflect.ValueOf(out).Elem(), reflect.ValueOf(over).Elem())
	}
	return out
}

// Clone returns a deep copy of v; nil for nil.
func Clone[T Mergeable](v *T) *T {
	if v == nil {
		return nil
	}
	return Merge(nil, v)
}

// Equal tells whether a and b set the same fields to the same values. A nil value equals an empty one.
func Equal[T Mergeable](a, b *T) bool {
	return reflect.DeepEqual(plain(a), plain(b))
}

// plain collects what is set, without the marks that Merge leaves for itself.
func plain[T Mergeable](v *T) map[string]any {
	m := make(map[string]any)
	if v != nil {
		for path, value := range Fields(v) {
			m[path] = value
		}
	}
	return m
}

// oneofHolder is a message with a oneof of messages. It remembers that an arm was replaced on the way, so that
// a ⊕ (b ⊕ c) equals (a ⊕ b) ⊕ c when a and c set one arm and b another: the arm of a must not come back.
type oneofHolder interface {
	armReplaced() *bool
}

func (lb *LoadBalancing) armReplaced() *bool   { return &lb.replaced }
func (l *ConcurrencyLimit) armReplaced() *bool { return &l.replaced }

func mergeStruct(dst, src reflect.Value) {
	s := schemaOf(dst.Type())
	mergeReplaced(s, dst, src)
	for i := range s.fields {
		f := &s.fields[i]
		from, to := fieldValue(src, f), fieldValue(dst, f)
		if !isSet(from) {
			continue
		}
		switch f.kind {
		case kindMessage:
			if to.IsNil() {
				to.Set(reflect.New(f.elem))
			}
			mergeStruct(to.Elem(), from.Elem())
		case kindCodes:
			to.Set(reflect.AppendSlice(reflect.MakeSlice(to.Type(), 0, from.Len()), from))
		default:
			p := reflect.New(f.elem)
			p.Elem().Set(from.Elem())
			to.Set(p)
		}
	}
}

// mergeReplaced clears the arms of dst that an arm of src replaces.
func mergeReplaced(s *schema, dst, src reflect.Value) {
	dropAll := false
	if h, ok := src.Addr().Interface().(oneofHolder); ok && *h.armReplaced() {
		*dst.Addr().Interface().(oneofHolder).armReplaced() = true
		dropAll = true
	}
	for i := range s.fields {
		f := &s.fields[i]
		if f.oneof == "" || !isSet(fieldValue(src, f)) {
			continue
		}
		for j := range s.fields {
			other := &s.fields[j]
			to := fieldValue(dst, other)
			if other.oneof != f.oneof || !isSet(to) || other == f && !dropAll {
				continue
			}
			to.SetZero()
			if h, ok := dst.Addr().Interface().(oneofHolder); ok {
				*h.armReplaced() = true
			}
		}
	}
}
