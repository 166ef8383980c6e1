package annotation

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
	"github.com/goresilient/goresilient/runtime/policy"
)

// fileSubject is the subject of problems in the option on a file, which belongs to no service.
const fileSubject = "file option"

// fileReader reads the options of one file.
type fileReader struct {
	*reader
	file  protoreflect.FileDescriptor
	index optionIndex // nil until an option is found
}

// reportNewer reports the options of d that only a newer version knows.
func (f *fileReader) reportNewer(d protoreflect.Descriptor, subject string) {
	for _, option := range f.newer.on(d) {
		f.reportText(optionPlace(d, option.number), subject, "("+string(option.name)+") is an option that this version "+
			"does not know; upgrade protoc-gen-goresilient to the version that the schema is from")
	}
}

// fileLayers returns the layer of the option on the file, if there is one.
func (f *fileReader) fileLayers() []layer {
	f.reportNewer(f.file, fileSubject)
	value, at, broken := readOption(f, f.file, goresilientv1.E_File, policy.ServiceFromProto)
	if value == nil {
		return nil
	}
	return []layer{{
		Layer: policy.Layer{
			Level: policy.LevelFile, Source: f.file.Path(),
			Service: value, Lines: compactLines(value, at.lines()),
		},
		subject: fileSubject, place: at.place, broken: broken,
	}}
}

// serviceLayer returns the layer of the option on a service, an empty one if there is none.
func (f *fileReader) serviceLayer(sd protoreflect.ServiceDescriptor) layer {
	f.reportNewer(sd, string(sd.FullName()))
	value, at, broken := readOption(f, sd, goresilientv1.E_Service, policy.ServiceFromProto)
	if value == nil {
		return layer{}
	}
	return layer{
		Layer: policy.Layer{
			Level: policy.LevelService, Source: f.file.Path(),
			Service: value, Lines: compactLines(value, at.lines()),
		},
		subject: string(sd.FullName()), place: at.place, broken: broken,
	}
}

// methodLayer returns the layer of the options on the RPCs of sd, and their traits.
func (f *fileReader) methodLayer(sd protoreflect.ServiceDescriptor) (layer, map[string]*policy.Traits) {
	places := make(map[string]func(string) Place)
	l := layer{
		Layer: policy.Layer{
			Level: policy.LevelMethod, Source: f.file.Path(),
			Methods: make(map[string]*policy.Method), MethodLines: make(map[string]policy.Lines),
		},
		methodPlace: func(method, path string) Place { return places[method](path) },
	}
	traits := make(map[string]*policy.Traits)
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		name := string(md.Name())
		f.reportNewer(md, string(md.FullName()))
		if value, at, broken := readOption(f, md, goresilientv1.E_Method, policy.MethodFromProto); value != nil {
			places[name] = at.place
			l.broken = l.broken || broken
			l.add(name, value, at.lines())
		}
		if value, at, _ := readOption(f, md, goresilientv1.E_Traits, policy.TraitsFromProto); value != nil {
			traits[name] = value
			for _, p := range checkTraits(value, md) {
				f.report(at.place(p.Path), string(md.FullName()), p)
			}
		}
	}
	return l, traits
}

// add puts the policy written on an RPC into l, unless it says nothing.
func (l *layer) add(name string, m *policy.Method, lines policy.Lines) {
	if isEmpty(m) {
		return
	}
	l.Methods[name] = m
	if lines = compactLines(m, lines); lines != nil {
		l.MethodLines[name] = lines
	}
}

// readOption reads the option xt of d and reports what is wrong with it by itself. The value is nil if d does not have
// the option; broken tells that a part of it could not be read.
func readOption[M proto.Message, T policy.Mergeable](
	f *fileReader, d protoreflect.Descriptor, xt protoreflect.ExtensionType, convert func(M) (*T, policy.Problems),
) (value *T, at optionText, broken bool) {
	subject := string(d.FullName())
	if d == protoreflect.Descriptor(f.file) {
		subject = fileSubject
	}
	if f.foreign[numberOf(xt)] {
		return nil, at, false // reported where the other option is declared
	}
	message, ok, err := extension[M](d, xt)
	if !ok && err == nil {
		return nil, at, false
	}
	at = f.text(d, xt)
	if err != nil {
		f.reportText(at.place(""), subject, fmt.Sprintf("(%s) %v", xt.TypeDescriptor().FullName(), err))
		return new(T), at, true
	}
	value, problems := convert(message)
	broken = len(problems) > 0
	problems = append(problems, at.twoArms()...)
	problems = append(problems, policy.Validate(value)...)
	for _, p := range problems {
		f.report(at.place(p.Path), subject, p)
	}
	return value, at, broken
}

// text returns where the option xt of d is written.
func (f *fileReader) text(d protoreflect.Descriptor, xt protoreflect.ExtensionType) optionText {
	if f.index == nil {
		f.index = newOptionIndex(f.file)
	}
	xd := xt.TypeDescriptor()
	key := optionKey{service: -1, method: -1, extension: xd.Number()}
	element := Place{File: f.file.Path()}
	switch d := d.(type) {
	case protoreflect.ServiceDescriptor:
		key.service, element = d.Index(), NamePlace(d)
	case protoreflect.MethodDescriptor:
		key.service, key.method, element = d.Parent().Index(), d.Index(), NamePlace(d)
	}
	return optionText{file: f.file.Path(), message: xd.Message(), locs: f.index[key], element: element}
}
