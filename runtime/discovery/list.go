package discovery

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxWeight   = 1_000_000
	maxPriority = 127
	metaPrefix  = "meta."
)

// ParseEndpoints reads a list of endpoints, as targets of the scheme static and environment variables hold it:
//
//	10.0.0.1:443,10.0.0.2:443;weight=2;zone=eu-west-1a
//	[2001:db8::1]:443+10.0.0.3:443;priority=1;meta.rack=r7
//	unix:/run/db%2C1.sock
//
// Endpoints stand between commas, the addresses of one endpoint between plus signs, in order of preference. After
// them, each with a semicolon before it: weight (1 to 1000000; default 1), zone, priority (0, the best, to 127;
// default 0) and meta.NAME. An address is host:port, [v6]:port, unix:/path or unix-abstract:NAME. Ports are numbers
// from 1 to 65535. Spaces around a part do not count. A character that separates is written percent-encoded, e.g.,
// %2C for a comma.
//
// The error is a [*ConfigError] with everything that is wrong.
func ParseEndpoints(s string) ([]Endpoint, error) {
	p := listParser{seen: make(map[string]int)}
	var endpoints []Endpoint
	if whole := (span{1, s}).trim(); whole.text == "" {
		p.problem(whole, "the list is empty; write host:port, with commas between endpoints")
	} else {
		for _, item := range whole.split(",") {
			endpoints = append(endpoints, p.endpoint(item))
		}
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Column - b.Column })
		return nil, &ConfigError{Value: s, Problems: p.problems}
	}
	return endpoints, nil
}

// span is a part of the list and its column.
type span struct {
	column int
	text   string
}

func (s span) trim() span {
	left := strings.TrimLeft(s.text, " ")
	return span{s.column + len(s.text) - len(left), strings.TrimRight(left, " ")}
}

// split returns the trimmed parts between separators of one byte.
func (s span) split(separator string) []span {
	var parts []span
	column := s.column
	for text := range strings.SplitSeq(s.text, separator) {
		parts = append(parts, span{column, text}.trim())
		column += len(text) + 1
	}
	return parts
}

// listParser reads on after a problem, to find them all; what it returns then is of no use.
type listParser struct {
	problems []Problem
	seen     map[string]int // canonical address to column
}

func (p *listParser) problem(at span, format string, args ...any) {
	p.problems = append(p.problems, Problem{Column: at.column, Value: at.text, Text: fmt.Sprintf(format, args...)})
}

func (p *listParser) endpoint(item span) Endpoint {
	e := Endpoint{Weight: 1}
	if item.text == "" {
		p.problem(item, "an endpoint is missing here; remove the comma or write host:port")
		return e
	}
	parts := item.split(";")
	for _, part := range parts[0].split("+") {
		if address, ok := p.address(part); ok {
			e.Addresses = append(e.Addresses, address)
		}
	}
	keys := make(map[string]bool)
	for _, part := range parts[1:] {
		p.property(&e, part, keys)
	}
	return e
}

func (p *listParser) address(part span) (string, bool) {
	text, ok := p.decode(part)
	if !ok {
		return "", false
	}
	address, problem := parseAddress(text)
	if problem != "" {
		p.problem(part, "%s", problem)
		return "", false
	}
	if first, ok := p.seen[address]; ok {
		p.problem(part, "stands there twice, first in column %d; remove one, or write ;weight=2 for a greater share", first)
		return "", false
	}
	p.seen[address] = part.column
	return address, true
}

// property reads key=value into e.
func (p *listParser) property(e *Endpoint, part span, keys map[string]bool) {
	name, rawValue, ok := strings.Cut(part.text, "=")
	if !ok {
		p.problem(part, "is no key=value; write e.g. weight=2, or remove the semicolon")
		return
	}
	key, okKey := p.decode(span{part.column, name}.trim())
	value, okValue := p.decode(span{part.column + len(name) + 1, rawValue}.trim())
	if !okKey || !okValue {
		return
	}
	if keys[key] {
		p.problem(part, "gives %s a second time; remove one", key)
		return
	}
	keys[key] = true
	meta, isMeta := strings.CutPrefix(key, metaPrefix)
	switch {
	case key == "weight":
		e.Weight = p.number(part, value, 1, maxWeight)
	case key == "priority":
		e.Priority = p.number(part, value, 0, maxPriority)
	case key == "zone" && value == "":
		p.problem(part, "names no zone; write zone=NAME, or leave it out")
	case key == "zone":
		e.Zone = value
	case isMeta && meta == "":
		p.problem(part, "has no name after the dot; write meta.NAME=value")
	case isMeta:
		if e.Metadata == nil {
			e.Metadata = make(map[string]string)
		}
		e.Metadata[meta] = value
	default:
		p.problem(part, "has the unknown key %q; write weight, zone, priority or meta.NAME", key)
	}
}

func (p *listParser) number(part span, value string, lowest, highest uint64) uint32 {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < lowest || n > highest {
		p.problem(part, "is out of range; write a whole number from %d to %d", lowest, highest)
	}
	return uint32(n)
}

// decode undoes percent-encoding and refuses what no value may hold.
func (p *listParser) decode(part span) (string, bool) {
	text, err := url.PathUnescape(part.text)
	switch {
	case err != nil:
		p.problem(part, "has a percent sign without two hexadecimal digits after it; write %%25 for the sign itself")
	case !utf8.ValidString(text):
		p.problem(part, "is not UTF-8; write text")
	case strings.ContainsFunc(text, unicode.IsControl):
		p.problem(part, "has a control character in it, such as a tab or a line break; remove it")
	default:
		return text, true
	}
	return "", false
}

// FormatEndpoints writes a list that [ParseEndpoints] reads back, and that may stand in a URL as it is. Defaults are
// left out and metadata is sorted by name.
func FormatEndpoints(endpoints []Endpoint) string {
	var b strings.Builder
	for i, e := range endpoints {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, address := range e.Addresses {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(encode(address))
		}
		if e.Weight > 1 {
			fmt.Fprintf(&b, ";weight=%d", e.Weight)
		}
		if e.Zone != "" {
			b.WriteString(";zone=" + encode(e.Zone))
		}
		if e.Priority > 0 {
			fmt.Fprintf(&b, ";priority=%d", e.Priority)
		}
		for _, name := range slices.Sorted(maps.Keys(e.Metadata)) {
			b.WriteString(";" + metaPrefix + encode(name) + "=" + encode(e.Metadata[name]))
		}
	}
	return b.String()
}

// encode percent-encodes all that separates in a list, that ends the path of a URL, or that a URL may not hold.
func encode(s string) string { return percentEncode(s, "-._~:/[]@!$&'()*") }

// percentEncode keeps ASCII letters, digits and the bytes of keep.
func percentEncode(s, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
