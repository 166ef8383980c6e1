package annotation

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// document checks the document against the services of the run and returns the layer of its defaults.
func (r *reader) document() []layer {
	doc := r.in.Document
	if doc == nil {
		return nil
	}
	known := make(map[protoreflect.FullName]protoreflect.ServiceDescriptor)
	for _, file := range r.in.Known {
		for i := range file.Services().Len() {
			sd := file.Services().Get(i)
			known[sd.FullName()] = sd
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Services)) {
		if sd := known[protoreflect.FullName(name)]; sd != nil {
			r.entry(doc.Services[name], sd)
			continue
		}
		r.reportText(r.documentPlace("services."+name, ""), name, "no file of this run declares the service; "+
			"correct the name, or remove the entry "+
			"(buf hands over one directory at a time unless its plugin has strategy: all)")
	}
	if doc.Defaults == nil {
		return nil
	}
	l := layer{
		Layer:   r.documentLayers("", policy.LevelFile)[0],
		subject: "defaults",
		place:   func(path string) Place { return r.documentPlace("defaults", path) },
	}
	l.Lines = compactLines(l.Service, l.Lines)
	return []layer{l}
}

// entry checks what the document says of the service sd.
func (r *reader) entry(e *policy.Entry, sd protoreflect.ServiceDescriptor) {
	prefix := "services." + string(sd.FullName())
	checkMethods(r, e.Methods, prefix+".methods", sd, nil)
	checkMethods(r, e.Traits, prefix+".traits", sd, checkTraits)
}

// checkMethods reports entries of RPCs that sd does not have, and what check finds wrong with the others.
func checkMethods[T policy.Mergeable](
	r *reader, entries map[string]*T, prefix string, sd protoreflect.ServiceDescriptor,
	check func(*T, protoreflect.MethodDescriptor) policy.Problems,
) {
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		path, subject := prefix+"."+name, string(sd.FullName())+"."+name
		md := sd.Methods().ByName(protoreflect.Name(name))
		if md == nil {
			r.reportText(r.documentPlace(path, ""), subject,
				fmt.Sprintf("the service has no RPC %q; write %s", name, methodChoices(sd)))
			continue
		}
		if check == nil {
			continue
		}
		for _, p := range check(entries[name], md) {
			r.report(r.documentPlace(path, p.Path), subject, p)
		}
	}
}

// entryLayers returns what the document says of sd alone: its layers at the level of the service and of the RPCs, and
// its traits by RPC.
func (r *reader) entryLayers(sd protoreflect.ServiceDescriptor) ([]layer, map[string]*policy.Traits) {
	doc, name := r.in.Document, string(sd.FullName())
	if doc == nil || doc.Services[name] == nil {
		return nil, nil
	}
	all := r.documentLayers(name, policy.LevelService)
	entry := all[len(all)-1]
	prefix := "services." + name
	service := layer{
		Layer: policy.Layer{
			Level: policy.LevelService, Source: entry.Source,
			Service: entry.Service, Lines: compactLines(entry.Service, entry.Lines),
		},
		subject: name,
		place:   func(path string) Place { return r.documentPlace(prefix+".policy", path) },
	}
	methods := layer{
		Layer: policy.Layer{
			Level: policy.LevelMethod, Source: entry.Source,
			Methods: make(map[string]*policy.Method), MethodLines: make(map[string]policy.Lines),
		},
		methodPlace: func(method, path string) Place { return r.documentPlace(prefix+".methods."+method, path) },
	}
	for method, m := range entry.Methods {
		if sd.Methods().ByName(protoreflect.Name(method)) != nil {
			methods.add(method, m, entry.MethodLines[method])
		}
	}
	return []layer{service, methods}, doc.Services[name].Traits
}

// documentLayers returns what the document says of a service, under the name that it has in generated code.
func (r *reader) documentLayers(service string, level policy.Level) []policy.Layer {
	layers := r.in.Document.Layers(service, level)
	for i := range layers {
		if r.in.DocumentName != "" {
			layers[i].Source = r.in.DocumentName
		}
	}
	return layers
}

// documentPlace returns the position of a field of the document, or of the nearest thing around it.
func (r *reader) documentPlace(prefix, path string) Place {
	at := r.in.Document.At(prefix, policy.Problems{{Path: path}})[0]
	return Place{at.Source, at.Line, at.Column}
}

func methodChoices(sd protoreflect.ServiceDescriptor) string {
	names := ""
	for i := range sd.Methods().Len() {
		if i > 0 {
			names += ", "
		}
		names += string(sd.Methods().Get(i).Name())
	}
	if names == "" {
		return "another service: it has no RPC at all"
	}
	return "one of " + names
}
