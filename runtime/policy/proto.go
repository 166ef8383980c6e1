package policy

import (
	"math"
	"reflect"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
)

// ServiceFromProto converts the annotation form. Durations are parsed; problems carry the field's path. A field of a
// newer schema is a problem that says to upgrade.
func ServiceFromProto(m *goresilientv1.ServicePolicy) (*Service, Problems) {
	return fromProto[Service](m)
}

// MethodFromProto is [ServiceFromProto] for the policy of an RPC.
func MethodFromProto(m *goresilientv1.MethodPolicy) (*Method, Problems) {
	return fromProto[Method](m)
}

// TraitsFromProto is [ServiceFromProto] for the traits of an RPC.
func TraitsFromProto(m *goresilientv1.MethodTraits) (*Traits, Problems) {
	return fromProto[Traits](m)
}

func fromProto[T Mergeable](m interface{ ProtoReflect() protoreflect.Message }) (*T, Problems) {
	pm := m.ProtoReflect()
	if !pm.IsValid() {
		return nil, nil
	}
	out := new(T)
	var ps Problems
	fromMessage(reflect.ValueOf(out).Elem(), pm, "", &ps)
	return out, ps
}

func fromMessage(dst reflect.Value, m protoreflect.Message, prefix string, ps *Problems) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		ps.add(strings.TrimSuffix(prefix, "."), "has a field that this version does not know; "+
			"upgrade goresilient to the version that the schema is from")
	}
	s := schemaOf(dst.Type())
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		path := prefix + string(fd.Name())
		f := s.byName[string(fd.Name())]
		if f == nil {
			ps.add(path, "is not known to this version; upgrade goresilient to the version that the schema is from")
			continue
		}
		fromField(fieldValue(dst, f), f, m.Get(fd), path, ps)
	}
}

func fromField(dst reflect.Value, f *field, v protoreflect.Value, path string, ps *Problems) {
	switch f.kind {
	case kindMessage:
		dst.Set(reflect.New(f.elem))
		fromMessage(dst.Elem(), v.Message(), path+".", ps)
		return
	case kindCodes:
		list := v.List()
		out := make([]codes.Code, list.Len())
		for i := range out {
			out[i] = codes.Code(list.Get(i).Enum())
		}
		dst.Set(reflect.ValueOf(out))
		return
	}
	p := reflect.New(f.elem)
	switch f.kind {
	case kindBool:
		p.Elem().SetBool(v.Bool())
	case kindInt:
		p.Elem().SetInt(int64(v.Uint()))
	case kindFloat:
		p.Elem().SetFloat(v.Float())
	case kindString:
		p.Elem().SetString(v.String())
	case kindDuration:
		if err := setScalar(p.Elem(), f.kind, v.String()); err != nil {
			ps.add(path, "%q %v", v.String(), err)
			return
		}
	}
	dst.Set(p)
}

// ServiceToProto converts back to the annotation form.
func ServiceToProto(s *Service) *goresilientv1.ServicePolicy {
	if s == nil {
		return nil
	}
	m := new(goresilientv1.ServicePolicy)
	toMessage(m.ProtoReflect(), reflect.ValueOf(s).Elem())
	return m
}

// MethodToProto converts back to the annotation form.
func MethodToProto(p *Method) *goresilientv1.MethodPolicy {
	if p == nil {
		return nil
	}
	m := new(goresilientv1.MethodPolicy)
	toMessage(m.ProtoReflect(), reflect.ValueOf(p).Elem())
	return m
}

func toMessage(m protoreflect.Message, src reflect.Value) {
	s := schemaOf(src.Type())
	fields := m.Descriptor().Fields()
	for i := range s.fields {
		f := &s.fields[i]
		fv := fieldValue(src, f)
		if !isSet(fv) {
			continue
		}
		fd := fields.ByName(protoreflect.Name(f.name))
		switch f.kind {
		case kindMessage:
			toMessage(m.Mutable(fd).Message(), fv.Elem())
		case kindCodes:
			list := m.Mutable(fd).List()
			for _, c := range fv.Interface().([]codes.Code) {
				list.Append(protoreflect.ValueOfEnum(protoreflect.EnumNumber(c)))
			}
		case kindBool:
			m.Set(fd, protoreflect.ValueOfBool(fv.Elem().Bool()))
		case kindInt:
			m.Set(fd, protoreflect.ValueOfUint32(uint32(min(max(fv.Elem().Int(), 0), math.MaxUint32))))
		case kindFloat:
			m.Set(fd, protoreflect.ValueOfFloat64(fv.Elem().Float()))
		case kindString:
			m.Set(fd, protoreflect.ValueOfString(fv.Elem().String()))
		case kindDuration:
			m.Set(fd, protoreflect.ValueOfString(formatDuration(time.Duration(fv.Elem().Int()))))
		}
	}
}
