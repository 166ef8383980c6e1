package etcd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// record is the value of a key, in the form of go.etcd.io/etcd/client/v3/naming/endpoints, which is that of package naming
// of grpc up to 1.29.
type record struct {
	Op       uint8 // 0, which means that the address is there
	Addr     string
	Metadata json.RawMessage
}

// metadata is what this package writes into the record's metadata.
type metadata struct {
	Weight     uint32            `json:"weight,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Priority   uint32            `json:"priority,omitempty"`
	Alternates []string          `json:"alternates,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
}

// encodeEndpoint returns the value for e, which has been checked.
func encodeEndpoint(e discovery.Endpoint) ([]byte, error) {
	r := record{Addr: e.Addresses[0], Metadata: json.RawMessage("null")}
	m := metadata{Zone: e.Zone, Priority: e.Priority, Alternates: e.Addresses[1:], Metadata: e.Metadata}
	if e.Weight > 1 {
		m.Weight = e.Weight
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if string(raw) != "{}" {
		r.Metadata = raw
	}
	return json.Marshal(r)
}

// decodeEndpoint reads a value, whoever wrote it. It returns all that is wrong with it.
func decodeEndpoint(value []byte) (discovery.Endpoint, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return discovery.Endpoint{}, fmt.Errorf(`is not of the form {"Addr":"host:port","Metadata":{…}}: %w`, err)
	}
	if r.Addr == "" {
		return discovery.Endpoint{}, errors.New(`has no address; write {"Addr":"host:port"}`)
	}
	d := metadataDecoder{endpoint: discovery.Endpoint{Addresses: []string{r.Addr}, Weight: 1}}
	d.decode(r.Metadata)
	e, err := checkedEndpoint(d.endpoint)
	if err != nil {
		d.problems = append(d.problems, err)
	}
	return e, errors.Join(d.problems...)
}

// checkedEndpoint brings the addresses to their canonical form. Its error is a [*discovery.ConfigError].
func checkedEndpoint(e discovery.Endpoint) (discovery.Endpoint, error) {
	named := e.Metadata
	e.Metadata = nil // free text, which the grammar of lists need not agree with
	checked, err := discovery.ParseEndpoints(discovery.FormatEndpoints([]discovery.Endpoint{e}))
	if err != nil {
		return discovery.Endpoint{}, err
	}
	checked[0].Metadata = named
	return checked[0], nil
}

// metadataDecoder reads on after a problem, to find them all.
type metadataDecoder struct {
	endpoint discovery.Endpoint
	problems []error
}

func (d *metadataDecoder) problem(format string, args ...any) {
	d.problems = append(d.problems, fmt.Errorf(format, args...))
}

func (d *metadataDecoder) decode(raw json.RawMessage) {
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	fields := make(map[string]json.RawMessage)
	if json.Unmarshal(raw, &fields) != nil {
		d.name("metadata", raw)
		return
	}
	own := fields["metadata"]
	for _, name := range slices.Sorted(maps.Keys(fields)) { // the same problems in the same order each time
		d.field(name, fields[name])
	}
	named := make(map[string]json.RawMessage)
	switch {
	case own == nil:
	case json.Unmarshal(own, &named) != nil:
		d.name("metadata", own)
	default: // last, so that it wins over fields of the same names
		for name, field := range named {
			d.name(name, field)
		}
	}
}

func (d *metadataDecoder) field(name string, raw json.RawMessage) {
	e := &d.endpoint
	switch name {
	case "weight":
		e.Weight = d.number(name, raw)
		if e.Weight == 0 {
			d.problem("has the weight %s; write a whole number from 1 to 1000000, or leave it out", raw)
		}
	case "priority":
		e.Priority = d.number(name, raw)
	case "zone":
		if json.Unmarshal(raw, &e.Zone) != nil {
			d.problem(`has the zone %s; write a string, e.g. "eu-west-1a"`, raw)
		}
	case "alternates":
		var alternates []string
		if json.Unmarshal(raw, &alternates) != nil {
			d.problem(`has the alternates %s; write a list of addresses, e.g. ["10.0.0.8:443"]`, raw)
		}
		e.Addresses = append(e.Addresses, alternates...)
	case "metadata":
	default:
		d.name(name, raw)
	}
}

// number also reads 2.0 and "2", as other writers have it.
func (d *metadataDecoder) number(name string, raw json.RawMessage) uint32 {
	text := string(bytes.Trim(raw, `"`))
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return uint32(n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && f >= 0 && f <= math.MaxUint32 && f == math.Trunc(f) {
		return uint32(f)
	}
	if name != "weight" { // 0 says the same there
		d.problem("has the %s %s; write a whole number", name, raw)
	}
	return 0
}

// name puts a field under the endpoint's own metadata.
func (d *metadataDecoder) name(name string, raw json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var compact bytes.Buffer
		if json.Compact(&compact, raw) != nil {
			return // it was valid as a part of the whole
		}
		text = compact.String()
	}
	if d.endpoint.Metadata == nil {
		d.endpoint.Metadata = make(map[string]string)
	}
	d.endpoint.Metadata[name] = text
}
