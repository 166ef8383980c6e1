package policy

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"
)

// Validate reports every value of one level that is wrong by itself: out of range, two arms of one oneof, an empty
// name. What only the combination of all levels can tell is left to [ValidateEffective].
func Validate[T Mergeable](v *T) Problems {
	var ps Problems
	if v != nil {
		validateStruct(reflect.ValueOf(v).Elem(), "", &ps)
	}
	return ps
}

func validateStruct(v reflect.Value, prefix string, ps *Problems) {
	s := schemaOf(v.Type())
	arms := make(map[string]string)
	for i := range s.fields {
		f := &s.fields[i]
		fv := fieldValue(v, f)
		if !isSet(fv) {
			continue
		}
		path := prefix + f.name
		if f.oneof != "" {
			if first := arms[f.oneof]; first != "" {
				ps.add(path, "stands beside %s, and only one of them can hold; remove one", first)
			} else {
				arms[f.oneof] = f.name
			}
		}
		validateField(fv, f, path, ps)
	}
	if c, ok := v.Addr().Interface().(*Custom); ok && Value(c.Name) == "" {
		ps.add(prefix+"name", "is missing; write the name under which the policy is registered with grpc")
	}
}

func validateField(fv reflect.Value, f *field, path string, ps *Problems) {
	switch f.kind {
	case kindMessage:
		validateStruct(fv.Elem(), path+".", ps)
	case kindCodes:
		validateCodes(fv.Interface().([]codes.Code), path, ps)
	case kindString:
		validateString(fv.Elem().String(), f, path, ps)
	case kindInt:
		if n := fv.Elem().Int(); !f.limit.contains(float64(n)) {
			ps.add(path, "%d is out of range; write a number %s", n, f.limit.describe())
		}
	case kindFloat:
		if x := fv.Elem().Float(); !f.limit.contains(x) {
			ps.add(path, "%v is out of range; write a number %s", x, f.limit.describe())
		}
	case kindDuration:
		if d := time.Duration(fv.Elem().Int()); !f.limit.contains(float64(d)) {
			ps.add(path, "%q is out of range; write a duration %s", formatDuration(d), f.limit.describe())
		}
	}
}

func validateCodes(list []codes.Code, path string, ps *Problems) {
	for i, c := range list {
		switch {
		case c == codes.OK:
			ps.add(path, "OK is never a failure; remove it")
		case int(c) >= len(codeNames):
			ps.add(path, "%d is no gRPC code; write a name such as UNAVAILABLE", c)
		case slices.Contains(list[:i], c):
			ps.add(path, "%s stands there twice; remove one", codeName(c))
		}
	}
}

func validateString(s string, f *field, path string, ps *Problems) {
	switch {
	case s == "" && f.name != "service_name" && f.name != "name":
		ps.add(path, "is empty; write a value, or leave the field out to inherit")
	case f.name == "header" && s != strings.ToLower(s):
		ps.add(path, "%q has upper-case letters, which gRPC metadata keys never have; write %q", s, strings.ToLower(s))
	case f.name == "header" && strings.ContainsFunc(s, notInHeader):
		ps.add(path, `%q is no gRPC metadata key; write lower-case letters, digits, "-", "_" and "."`, s)
	case f.name == "config_json" && !isJSONObject(s):
		ps.add(path, "%q is not a JSON object; write one, such as {}", s)
	case f.name == "authority" && !isAuthority(s):
		ps.add(path, `%q is no authority; write a host or host:port, such as "inventory.internal:443"`, s)
	case f.name == "compressor" && !isToken(s):
		ps.add(path, `%q is no name of an encoding; write one without spaces and separators, such as "gzip"`, s)
	case strings.HasSuffix(f.name, "_because") && strings.TrimSpace(s) == "":
		ps.add(path, "%q gives no reason; say in words why it is safe", s)
	case isName(f) && strings.ContainsFunc(s, isUnprintable):
		ps.add(path, "%q has a character that cannot be printed; remove it", s)
	}
}

// isName tells a string that stands in a target, in a header or for a registered name from free text.
func isName(f *field) bool { return f.name != "config_json" && !strings.HasSuffix(f.name, "_because") }

func notInHeader(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
}

// authorityForm is host[:port] (RFC 3986, section 3.2) without the separators that no host has in practice.
var authorityForm = regexp.MustCompile(`^([A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+(%25[A-Za-z0-9._~%-]+)?\])(:[0-9]{1,5})?$`)

func isAuthority(s string) bool { return authorityForm.MatchString(s) }

// isToken tells whether s is a token of HTTP (RFC 9110, section 5.6.2), as the name of an encoding is.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

func isJSONObject(s string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(s), &object) == nil && object != nil
}

// ValidateEffective reports what is wrong with a service's policy once all levels are merged: a required value that no
// level gave, a maximum below its minimum. A feature that is disabled is not looked at.
func ValidateEffective(s *Service) Problems {
	var ps Problems
	if s == nil {
		return nil
	}
	if o := s.OutlierDetection; o != nil && !Value(o.Disabled) {
		ps.ordered("outlier_detection", "base_ejection_time", "max_ejection_time", o)
	}
	if c := s.Connection; c != nil {
		if k := c.Keepalive; k != nil && !Value(k.Disabled) && k.Time == nil {
			ps.add("connection.keepalive.time", `is missing; write the time without activity after which to ping, such as "30s"`)
		}
		ps.ordered("connection.connect_backoff", "initial", "max", c.ConnectBackoff)
	}
	ps.dial(s)
	ps.guards(s.CircuitBreaker, s.ConcurrencyLimit, s.RateLimit)
	return append(ps, ValidateEffectiveMethod(s.MethodDefaults).In("method_defaults")...)
}

// ValidateEffectiveMethod is [ValidateEffective] for the merged policy of one RPC.
func ValidateEffectiveMethod(m *Method) Problems {
	var ps Problems
	if m == nil {
		return nil
	}
	if r := m.Retry; r != nil && !Value(r.Disabled) {
		ps.ordered("retry.backoff", "initial", "max", r.Backoff)
	}
	ps.guards(m.CircuitBreaker, m.ConcurrencyLimit, m.RateLimit)
	return ps
}

// dial reports a number of ready endpoints that the balancing policy can never reach.
func (ps *Problems) dial(s *Service) {
	if s.Dial == nil || Value(s.Dial.MinReady) <= 1 || s.LoadBalancing == nil {
		return
	}
	const path = "dial.min_ready"
	minReady, lb := *s.Dial.MinReady, s.LoadBalancing
	switch {
	case lb.PickFirst != nil:
		ps.add(path, "%d endpoints can never be ready with pick_first, which connects to one; "+
			"write 1 or another load_balancing policy", minReady)
	case lb.Custom != nil:
		ps.add(path, "%d endpoints cannot be counted with the custom policy %q; write 1", minReady, Value(lb.Custom.Name))
	case Value(lb.SubsetSize) > 0 && minReady > *lb.SubsetSize:
		ps.add(path, "%d endpoints can never be ready with a subset_size of %d; write at most %[2]d, or a subset_size of at least %[1]d", minReady, *lb.SubsetSize)
	}
}

func (ps *Problems) guards(cb *CircuitBreaker, cl *ConcurrencyLimit, rl *RateLimit) {
	if cb != nil && !Value(cb.Disabled) {
		if Value(cb.SlowCallRatio) > 0 && cb.SlowCallDuration == nil {
			ps.add("circuit_breaker.slow_call_duration",
				`is missing beside slow_call_ratio; write from when a call is slow, such as "1s"`)
		}
		ps.ordered("circuit_breaker", "open_duration", "max_open_duration", cb)
	}
	if cl != nil && !Value(cl.Disabled) {
		if cl.MaxInFlight == nil && cl.Adaptive == nil {
			ps.add("concurrency_limit", "has no limit; write max_in_flight or adaptive")
		}
		ps.ordered("concurrency_limit.adaptive", "min", "max", cl.Adaptive)
	}
	if rl != nil && !Value(rl.Disabled) && rl.CallsPerSecond == nil {
		ps.add("rate_limit.calls_per_second", "is missing; write how many calls a second may pass")
	}
}

// ordered reports a field low that is above the field high of the message m, defaults included; nothing if m is a nil
// pointer.
func (ps *Problems) ordered(path, low, high string, m any) {
	v := reflect.ValueOf(m)
	if v.IsNil() {
		return
	}
	get := func(name string) (value reflect.Value, note string) {
		f := schemaOf(v.Type().Elem()).byName[name]
		if fv := fieldValue(v.Elem(), f); isSet(fv) {
			return fv.Elem(), ""
		}
		return defaultValue(f, path).Elem(), "the default "
	}
	lo, loNote := get(low)
	hi, hiNote := get(high)
	if lo.Int() > hi.Int() {
		ps.add(path+"."+high, "%s%s is less than %s, %s%s; write at least that",
			hiNote, FormatValue(hi.Interface()), low, loNote, FormatValue(lo.Interface()))
	}
}
