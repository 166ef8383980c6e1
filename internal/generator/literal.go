package generator

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/goresilient/goresilient/runtime/policy"
)

// lineWidth is how long a literal on one line may be before each of its fields gets a line of its own.
const lineWidth = 96

// layerLiteral writes l as an element of a []policy.Layer; methods gives the order of its RPCs.
func layerLiteral(l policy.Layer, methods []string) string {
	fields := []string{
		"Level: policy." + levelName(l.Level),
		"Source: " + strconv.Quote(l.Source),
	}
	if len(l.Lines) > 0 {
		fields = append(fields, "Lines: policy.Lines"+linesLiteral(l.Lines))
	}
	if l.Service != nil {
		fields = append(fields, "Service: "+structLiteral(l.Service))
	}
	var written, lines []string
	for _, name := range methods {
		if m := l.Methods[name]; m != nil {
			written = append(written, strconv.Quote(name)+": "+strings.TrimPrefix(structLiteral(m), "&policy.Method"))
		}
		if n := l.MethodLines[name]; len(n) > 0 {
			lines = append(lines, strconv.Quote(name)+": "+linesLiteral(n))
		}
	}
	if len(lines) > 0 {
		fields = append(fields, "MethodLines: map[string]policy.Lines"+braces(lines))
	}
	if len(written) > 0 {
		fields = append(fields, "Methods: map[string]*policy.Method"+spread(written))
	}
	return spread(fields)
}

func levelName(l policy.Level) string {
	switch l {
	case policy.LevelFile:
		return "LevelFile"
	case policy.LevelService:
		return "LevelService"
	default:
		return "LevelMethod"
	}
}

func linesLiteral(lines policy.Lines) string {
	entries := make([]string, 0, len(lines))
	for _, path := range sortedKeys(lines) {
		entries = append(entries, fmt.Sprintf("%q: %d", path, lines[path]))
	}
	return braces(entries)
}

// structLiteral writes v as a pointer to a composite literal.
func structLiteral[T policy.Mergeable](v *T) string { return valueLiteral(reflect.ValueOf(v)) }

// valueLiteral writes a field of a policy struct: a pointer to a struct or to a scalar, or a list of codes. Fields
// that are not set are left out.
func valueLiteral(v reflect.Value) string {
	if list, ok := v.Interface().([]codes.Code); ok {
		names := make([]string, len(list))
		for i, c := range list {
			names[i] = "codes." + c.String()
		}
		return "[]codes.Code" + braces(names)
	}
	v = v.Elem()
	if v.Kind() != reflect.Struct {
		return "policy.Set(" + scalarLiteral(v.Interface()) + ")"
	}
	var fields []string
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.IsExported() && !v.Field(i).IsZero() {
			fields = append(fields, field.Name+": "+valueLiteral(v.Field(i)))
		}
	}
	return "&policy." + v.Type().Name() + braces(fields)
}

func scalarLiteral(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return durationLiteral(v)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0" // an untyped 5 would be an int
		}
		return s
	case string:
		return strconv.Quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// durationLiteral writes d in the largest unit that divides it.
func durationLiteral(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{
		{time.Hour, "time.Hour"},
		{time.Minute, "time.Minute"},
		{time.Second, "time.Second"},
		{time.Millisecond, "time.Millisecond"},
		{time.Microsecond, "time.Microsecond"},
		{time.Nanosecond, "time.Nanosecond"},
	}
	for _, u := range units {
		switch {
		case d == u.size:
			return u.name
		case d != 0 && d%u.size == 0:
			return fmt.Sprintf("%d * %s", d/u.size, u.name)
		}
	}
	return "time.Duration(0)"
}

// braces writes elements on one line if they fit, else one on each line.
func braces(elements []string) string {
	line := "{" + strings.Join(elements, ", ") + "}"
	if len(line) <= lineWidth && !strings.Contains(line, "\n") {
		return line
	}
	return spread(elements)
}

// spread writes one element on each line. Indentation is left to the printer.
func spread(elements []string) string {
	return "{\n" + strings.Join(elements, ",\n") + ",\n}"
}

// withoutStrings blanks the quoted strings of a literal out.
func withoutStrings(literal string) string {
	var b strings.Builder
	for {
		start := strings.IndexByte(literal, '"')
		if start < 0 {
			b.WriteString(literal)
			return b.String()
		}
		quoted, err := strconv.QuotedPrefix(literal[start:])
		if err != nil {
			return b.String()
		}
		b.WriteString(literal[:start])
		literal = literal[start+len(quoted):]
	}
}
