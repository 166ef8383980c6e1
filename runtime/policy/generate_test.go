package policy

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"
)

// drawPolicy draws a valid policy of one level: every field is absent or within its range, and of each oneof at most
// one arm is set.
func drawPolicy[T Mergeable](t *rapid.T, label string) *T {
	v := new(T)
	drawStruct(t, reflect.ValueOf(v).Elem(), label)
	return v
}

func drawStruct(t *rapid.T, v reflect.Value, label string) {
	s := schemaOf(v.Type())
	arms := make(map[string]string)
	for i := range s.fields {
		f := &s.fields[i]
		if f.oneof == "" || arms[f.oneof] != "" {
			continue
		}
		choices := []string{"none"}
		for _, other := range s.fields {
			if other.oneof == f.oneof {
				choices = append(choices, other.name)
			}
		}
		arms[f.oneof] = rapid.SampledFrom(choices).Draw(t, label+"."+f.oneof)
	}
	for i := range s.fields {
		f := &s.fields[i]
		path := label + "." + f.name
		required := v.Type() == reflect.TypeFor[Custom]() && f.name == "name"
		if f.oneof != "" && arms[f.oneof] != f.name || f.oneof == "" && !required && !rapid.Bool().Draw(t, path+"?") {
			continue
		}
		drawField(t, fieldValue(v, f), f, path)
	}
}

func drawField(t *rapid.T, dst reflect.Value, f *field, label string) {
	if f.kind == kindCodes {
		all := make([]codes.Code, 0, 16)
		for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
			all = append(all, c)
		}
		list := rapid.Permutation(all).Draw(t, label)[:rapid.IntRange(0, 4).Draw(t, label+".len")]
		dst.Set(reflect.ValueOf(slices.Clone(list)))
		return
	}
	p := reflect.New(f.elem)
	switch f.kind {
	case kindMessage:
		drawStruct(t, p.Elem(), label)
	case kindBool:
		p.Elem().SetBool(rapid.Bool().Draw(t, label))
	case kindInt:
		p.Elem().SetInt(int64(rapid.IntRange(int(f.limit.low), int(f.limit.high)).Draw(t, label)))
	case kindFloat:
		p.Elem().SetFloat(rapid.Float64Range(f.limit.low, f.limit.high).Filter(f.limit.contains).Draw(t, label))
	case kindDuration:
		high := int64(1000 * time.Hour)
		if f.limit.hasHigh {
			high = int64(f.limit.high)
		}
		inRange := func(n int64) bool { return f.limit.contains(float64(n)) }
		p.Elem().SetInt(rapid.Int64Range(int64(f.limit.low), high).Filter(inRange).Draw(t, label))
	case kindString:
		p.Elem().SetString(drawString(t, f.name, label))
	}
	dst.Set(p)
}

func drawString(t *rapid.T, name, label string) string {
	switch name {
	case "config_json":
		return rapid.SampledFrom([]string{"{}", `{"shards": 3}`, "{\n\t\"a\": [\"b\"]\n}"}).Draw(t, label)
	case "header":
		return rapid.StringMatching(`[a-z][a-z0-9_.-]{0,9}`).Draw(t, label)
	case "authority":
		return rapid.StringMatching(`([a-z0-9.-]{1,9}|\[::1\])(:[0-9]{1,5})?`).Draw(t, label)
	case "compressor":
		return rapid.StringMatching(`[a-zA-Z0-9._+-]{1,9}`).Draw(t, label)
	case "idempotent_because", "side_effect_free_because":
		return rapid.SampledFrom([]string{"the server drops a repeated id", "two\nlines", "a \"word\", a \\ and a\ttab"}).Draw(t, label)
	default:
		printable := func(s string) bool { return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, isUnprintable) }
		return rapid.String().Filter(printable).Draw(t, label)
	}
}

// valid fails t unless v, which was drawn, is valid: the generator and the validation must agree.
func valid[T Mergeable](t *rapid.T, v *T) {
	if err := Validate(v).Err(); err != nil {
		t.Fatalf("the drawn policy is not valid:\n%v", err)
	}
}

// addresses collects where the pointers and the lists of v point to. Values without a size have no address of their own.
func addresses(v reflect.Value, into map[uintptr]bool) {
	switch {
	case v.Kind() == reflect.Slice && v.Cap() > 0:
		into[v.Pointer()] = true
	case v.Kind() == reflect.Pointer && !v.IsNil():
		if v.Elem().Type().Size() > 0 {
			into[v.Pointer()] = true
		}
		addresses(v.Elem(), into)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			addresses(v.Field(i), into)
		}
	}
}

// badValue returns a value outside of the range of f, and whether there is one.
func badValue(f *field) (any, bool) {
	switch {
	case f.kind == kindFloat:
		return math.NaN(), true
	case f.kind == kindInt:
		return int(f.limit.high) + 1, true
	case f.kind == kindDuration:
		return -time.Second, true
	default:
		return nil, false
	}
}
