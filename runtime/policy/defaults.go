package policy

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"google.golang.org/grpc/codes"
)

// failureCodes are the codes that mean the server, not the request, is to blame.
var failureCodes = [...]codes.Code{
	codes.Unavailable, codes.Unknown, codes.Internal, codes.DataLoss, codes.DeadlineExceeded, codes.ResourceExhausted,
}

// backoffDefaults are the defaults of a Backoff by the message that it stands in.
var backoffDefaults = map[string]map[string]string{
	"retry.backoff":   {"initial": "25ms", "max": "1s", "multiplier": "2"},
	"connect_backoff": {"initial": "1s", "max": "120s", "multiplier": "1.6"},
}

// Complete returns v with the built-in default in every field that has one and that no level set, of every message
// that is set and, for a [Service], of those that are on by default. It changes nothing in v, which may be nil.
func Complete[T Mergeable](v *T) *T {
	out := Merge(nil, v)
	if s, ok := any(out).(*Service); ok {
		completeService(s)
	}
	completeStruct(reflect.ValueOf(out).Elem(), "")
	return out
}

// completeService adds the messages that are on by default.
func completeService(s *Service) {
	if s.LoadBalancing == nil {
		s.LoadBalancing = &LoadBalancing{}
	}
	lb := s.LoadBalancing
	if lb.Arm() == "" {
		lb.Adaptive = &Adaptive{}
	}
	if lb.Failover == nil {
		lb.Failover = &Failover{}
	}
	if s.Discovery == nil {
		s.Discovery = &Discovery{}
	}
	if s.Dial == nil {
		s.Dial = &Dial{}
	}
	if s.Connection == nil {
		s.Connection = &Connection{}
	}
	if s.RetryBudget == nil {
		s.RetryBudget = &RetryBudget{}
	}
}

func completeStruct(v reflect.Value, prefix string) {
	s := schemaOf(v.Type())
	for i := range s.fields {
		f := &s.fields[i]
		fv := fieldValue(v, f)
		path := prefix + f.name
		switch {
		case f.kind == kindMessage && isSet(fv):
			completeStruct(fv.Elem(), path+".")
		case f.kind == kindMessage && (f.name == "backoff" || f.name == "connect_backoff"):
			fv.Set(reflect.New(f.elem))
			completeStruct(fv.Elem(), path+".")
		case f.kind != kindMessage && !isSet(fv):
			if d := defaultValue(f, strings.TrimSuffix(prefix, ".")); d.IsValid() {
				fv.Set(d)
			}
		}
	}
	completeDerived(v.Addr().Interface())
}

// completeDerived fills in what depends on other fields of the message m.
func completeDerived(m any) {
	switch m := m.(type) {
	case *Hedging:
		if m.Delay == nil && m.DelayQuantile == nil {
			m.DelayQuantile = Set(0.95)
		}
	case *RateLimit:
		if m.Burst == nil && m.CallsPerSecond != nil {
			m.Burst = Set(int(math.Ceil(*m.CallsPerSecond)))
		}
	}
}

// defaultValue returns the default of f in the message at path, as it is stored in the struct; the zero Value if there
// is none.
func defaultValue(f *field, path string) reflect.Value {
	if f.kind == kindCodes {
		if path == "retry" || strings.HasSuffix(path, ".retry") {
			return reflect.ValueOf([]codes.Code{codes.Unavailable})
		}
		return reflect.ValueOf(append([]codes.Code(nil), failureCodes[:]...))
	}
	def := f.def
	for suffix, byName := range backoffDefaults {
		if strings.HasSuffix(path, suffix) && byName[f.name] != "" {
			def = byName[f.name]
		}
	}
	if def == "" {
		return reflect.Value{}
	}
	p := reflect.New(f.elem)
	if err := setScalar(p.Elem(), f.kind, def); err != nil {
		panic(fmt.Sprintf("policy: the default of %s, %q, %v", f.name, def, err))
	}
	return p
}
