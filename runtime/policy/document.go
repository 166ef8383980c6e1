package policy

import (
	"maps"
	"slices"
	"strings"
)

// DocumentVersion is the value of a document's version field.
const DocumentVersion = "goresilient.v1"

// Document is policy for many services: an override, or the file given to the generator. It is immutable.
type Document struct {
	// Source names it in problems and origins, e.g., "overrides.yaml".
	Source string
	// Defaults applies to every service.
	Defaults *Service
	// Services is by full name, e.g., "acme.inventory.v1.InventoryService".
	Services map[string]*Entry

	defaultsLines Lines
	positions     map[string]position // by full path
}

// Entry is the part of a [Document] for one service.
type Entry struct {
	// Policy is the policy of the service.
	Policy *Service
	// Methods is by the name of the RPC.
	Methods map[string]*Method
	// Traits is by the name of the RPC; for the generator alone.
	Traits map[string]*Traits

	lines       Lines
	methodLines map[string]Lines
}

type position struct{ line, column int }

// Position returns the line and the column of the field at path, 0 and 0 if the document does not set it.
func (d *Document) Position(path string) (line, column int) {
	pos := d.positions[path]
	return pos.line, pos.column
}

// Layers returns what the document says of a service, for a [Stack], at the given level.
func (d *Document) Layers(service string, level Level) []Layer {
	var layers []Layer
	if d.Defaults != nil {
		layers = append(layers, Layer{Level: level, Source: d.Source, Service: d.Defaults, Lines: d.defaultsLines})
	}
	if e := d.Services[service]; e != nil {
		layers = append(layers, Layer{
			Level: level, Source: d.Source,
			Service: e.Policy, Lines: e.lines,
			Methods: e.Methods, MethodLines: e.methodLines,
		})
	}
	return layers
}

// At returns ps with the source and the positions of the document; their paths are relative to prefix.
func (d *Document) At(prefix string, ps Problems) Problems {
	out := ps.In(prefix)
	for i := range out {
		out[i].Source = d.Source
		for path := out[i].Path; path != ""; path = parent(path) {
			if pos, ok := d.positions[path]; ok {
				out[i].Line, out[i].Column = pos.line, pos.column
				break
			}
		}
	}
	return out
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// CheckOverride reports what may stand in the generator's document and not in an override: traits, which are facts that the
// schema's author alone can state.
func (d *Document) CheckOverride() Problems {
	var ps Problems
	for _, service := range slices.Sorted(maps.Keys(d.Services)) {
		for _, method := range slices.Sorted(maps.Keys(d.Services[service].Traits)) {
			ps.add("services."+service+".traits."+method, "an override cannot change the traits of an RPC, which are compiled in; remove them")
		}
	}
	return d.At("", ps)
}
