package balancer

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// fullReport is a report with every field that there is.
func fullReport(t testing.TB) proto.Message {
	m := orcaReport(t, 100, 0.5).ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("disk").MapKey(), protoreflect.ValueOfFloat64(rand.Float64()))
		case f.Kind() == protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(rand.Uint64()))
		default:
			m.Set(f, protoreflect.ValueOfFloat64(float64(f.Number())))
		}
	}
	return m.Interface()
}

func TestReportIsReadFromTheTrailer(t *testing.T) {
	raw, err := proto.Marshal(fullReport(t))
	if err != nil {
		t.Fatal(err)
	}
	want := loadReport{cpu: 1, rate: 6, errors: 7, application: 9}
	for _, tt := range []struct {
		name string
		info balancer.DoneInfo
		want loadReport
		ok   bool
	}{
		{"grpc has read it", balancer.DoneInfo{ServerLoad: fullReport(t)}, want, true},
		{"nobody has read it", balancer.DoneInfo{Trailer: metadata.Pairs(reportKey, string(raw))}, want, true},
		{"grpc found none", balancer.DoneInfo{ServerLoad: (*noReport)(nil)}, loadReport{}, true},
		{"something else", balancer.DoneInfo{ServerLoad: 5}, loadReport{}, false},
		{"none", balancer.DoneInfo{}, loadReport{}, false},
		{"two", balancer.DoneInfo{Trailer: metadata.Pairs(reportKey, string(raw), reportKey, string(raw))}, loadReport{}, false},
		{"an empty one", balancer.DoneInfo{Trailer: metadata.Pairs(reportKey, "")}, loadReport{}, true},
	} {
		if got, ok := reportOf(&tt.info); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %t; want %+v, %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	for i := 1; i < len(raw); i++ {
		parseReport(string(raw[:i])) // which must not panic
	}
}

// noReport is what grpc gives where there is no report: a nil pointer with getters.
type noReport struct{}

func (*noReport) GetCpuUtilization() float64         { return 0 }
func (*noReport) GetApplicationUtilization() float64 { return 0 }
func (*noReport) GetRpsFractional() float64          { return 0 }
func (*noReport) GetEps() float64                    { return 0 }

// Whatever a server sends is read as the generated code reads it, or refused.
func TestAnyReport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOf(rapid.SampledFrom([]byte{0, 1, 2, 8, 9, 0x11, 0x18, 0x22, 0x31, 0x39, 0x49, 0x80, 0xff, 0x3f})).Draw(rt, "bytes")
		m := orcaReport(t, 0, 0).ProtoReflect().New().Interface()
		if proto.Unmarshal(raw, m) != nil {
			parseReport(string(raw))
			return
		}
		g := m.(generated)
		want := loadReport{g.GetCpuUtilization(), g.GetApplicationUtilization(), g.GetRpsFractional(), g.GetEps()}
		got, ok := parseReport(string(raw))
		if hasGroup := !ok; hasGroup {
			return
		}
		if got.weight(1) != want.weight(1) {
			rt.Fatalf("%x is %+v, want %+v", raw, got, want)
		}
	})
}
