package discovery

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseEndpointsFile reads a list of endpoints from YAML or JSON:
//
//	endpoints:
//	  - address: 10.0.0.1:443
//	    weight: 2            # 1 to 1000000; default 1
//	    zone: eu-west-1a
//	    priority: 1          # 0, the best, to 127; default 0
//	    metadata: {rack: r7}
//	  - addresses: ["[2001:db8::1]:443", 10.0.0.3:443] # one server, in order of preference
//	  - 10.0.0.4:443;weight=3 # in the grammar of ParseEndpoints; there may be several, with commas
//
// An empty list is written as endpoints: []. Nothing is ignored: an unknown field is an error, as is an address that
// stands there twice. The error is a [*ConfigError] with everything that is wrong, each with its line and column.
func ParseEndpointsFile(data []byte) ([]Endpoint, error) {
	p := fileParser{seen: make(map[string]*yaml.Node)}
	endpoints := p.text(data)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &ConfigError{Problems: p.problems}
	}
	return endpoints, nil
}

// fileParser reads on after a problem, to find them all; what it returns then is of no use.
type fileParser struct {
	problems []Problem
	seen     map[string]*yaml.Node // by canonical address
}

// problem is about n; nil for the whole.
func (p *fileParser) problem(n *yaml.Node, format string, args ...any) {
	pr := Problem{Text: fmt.Sprintf(format, args...)}
	if n != nil {
		pr.Line, pr.Column = n.Line, n.Column
		if n.Kind == yaml.ScalarNode {
			pr.Value = n.Value
		}
	}
	p.problems = append(p.problems, pr)
}

func (p *fileParser) text(data []byte) []Endpoint {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		p.problem(nil, "the file is empty; write endpoints: [] for a list without any")
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	}
	endpoints := p.document(doc.Content[0])
	switch err := dec.Decode(&second); {
	case err == nil:
		p.problem(&second, "a second document begins here; put everything in one")
	case !errors.Is(err, io.EOF):
		p.syntax(err)
	}
	return endpoints
}

func (p *fileParser) syntax(err error) {
	p.problem(nil, "the file is neither YAML nor JSON: %s; mend the text there", strings.TrimPrefix(err.Error(), "yaml: "))
}

func (p *fileParser) document(n *yaml.Node) []Endpoint {
	var endpoints []Endpoint
	found := false
	before := len(p.problems)
	p.fields(n, "a mapping with the field endpoints", func(k, v *yaml.Node) {
		if k.Value != "endpoints" {
			p.problem(k, "is not a field here; write endpoints")
			return
		}
		found = true
		if v.Kind != yaml.SequenceNode {
			p.problem(v, "is no list; write one, [] if there are no endpoints")
			return
		}
		for _, item := range v.Content {
			endpoints = append(endpoints, p.item(item)...)
		}
	})
	if !found && len(p.problems) == before {
		p.problem(n, "the field endpoints is missing; write endpoints: [] for a list without any")
	}
	return endpoints
}

// fields calls f for each field of the mapping n.
func (p *fileParser) fields(n *yaml.Node, want string, f func(k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.problem(n, "is not %s; write one", want)
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			p.problem(k, "is no name; write the name of a field")
		case seen[k.Value]:
			p.problem(k, "stands there twice; remove one")
		case v.Kind == yaml.AliasNode:
			p.problem(v, "is a YAML alias, which is not read; write the value out")
		default:
			seen[k.Value] = true
			f(k, v)
		}
	}
}

func (p *fileParser) item(n *yaml.Node) []Endpoint {
	switch n.Kind {
	case yaml.ScalarNode:
		return p.list(n)
	case yaml.MappingNode:
		return []Endpoint{p.endpoint(n)}
	}
	p.problem(n, "is no endpoint; write {address: host:port}, or host:port alone")
	return nil
}

// list reads an item in the list grammar.
func (p *fileParser) list(n *yaml.Node) []Endpoint {
	endpoints, err := ParseEndpoints(n.Value)
	var c *ConfigError
	if errors.As(err, &c) {
		for _, pr := range c.Problems {
			pr.Line, pr.Column = position(n, pr.Column)
			p.problems = append(p.problems, pr)
		}
		return nil
	}
	for _, e := range endpoints {
		for _, a := range e.Addresses {
			p.once(n, a)
		}
	}
	return endpoints
}

// position is where the given byte of a scalar stands, or where the scalar begins if it was not written in one piece.
func position(n *yaml.Node, column int) (line, col int) {
	switch n.Style {
	case 0:
		return n.Line, n.Column + max(column, 1) - 1
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		return n.Line, n.Column + max(column, 1)
	}
	return n.Line, n.Column
}

// once notes a canonical address, which may not stand there a second time.
func (p *fileParser) once(n *yaml.Node, address string) {
	if first := p.seen[address]; first != nil && first != n {
		p.problem(n, "names %s, which line %d names already; remove one, or give a weight for a greater share",
			address, first.Line)
		return
	}
	p.seen[address] = n
}

func (p *fileParser) endpoint(n *yaml.Node) Endpoint {
	e := Endpoint{Weight: 1}
	var address, addresses *yaml.Node
	p.fields(n, "an endpoint", func(k, v *yaml.Node) {
		switch k.Value {
		case "address":
			address = k
			e.Addresses = append(e.Addresses, p.address(v)...)
		case "addresses":
			addresses = k
			e.Addresses = append(e.Addresses, p.addresses(v)...)
		case "weight":
			e.Weight = p.number(v, 1, maxWeight)
		case "priority":
			e.Priority = p.number(v, 0, maxPriority)
		case "zone":
			e.Zone = p.string(v)
		case "metadata":
			e.Metadata = p.metadata(v)
		default:
			p.problem(k, "is not a field of an endpoint; write address, addresses, weight, zone, priority or metadata")
		}
	})
	switch {
	case address == nil && addresses == nil:
		p.problem(n, "the endpoint has no address; write address: host:port")
	case address != nil && addresses != nil:
		p.problem(addresses, "stands beside address; put all into addresses")
	}
	return e
}

func (p *fileParser) addresses(n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.problem(n, "is no list of addresses; write one, such as [10.0.0.1:443, 10.0.0.2:443]")
		return nil
	}
	var all []string
	for _, item := range n.Content {
		all = append(all, p.address(item)...)
	}
	return all
}

// address returns nothing if there is a problem.
func (p *fileParser) address(n *yaml.Node) []string {
	text := p.string(n)
	if text == "" {
		return nil
	}
	canonical, problem := parseAddress(text)
	if problem != "" {
		p.problem(n, "%s", problem)
		return nil
	}
	p.once(n, canonical)
	return []string{canonical}
}

// string reads text that is not empty. A number or a date counts as it is written: a zone may be 1.
func (p *fileParser) string(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		p.problem(n, "is no text where some is expected; write it, in quotes if need be, or leave the field out")
		return ""
	}
	return n.Value
}

func (p *fileParser) number(n *yaml.Node, lowest, highest uint64) uint32 {
	v, err := strconv.ParseUint(n.Value, 10, 32)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < lowest || v > highest {
		p.problem(n, "is no number that fits here; write a whole number from %d to %d", lowest, highest)
	}
	return uint32(v)
}

func (p *fileParser) metadata(n *yaml.Node) map[string]string {
	all := make(map[string]string)
	p.fields(n, "a mapping of names to text", func(k, v *yaml.Node) {
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			p.problem(v, "is no text; write it, in quotes if need be")
			return
		}
		all[k.Value] = v.Value
	})
	if len(all) == 0 {
		return nil
	}
	return all
}
