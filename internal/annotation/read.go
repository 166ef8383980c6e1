package annotation

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// Input is what a run of the generator is given.
type Input struct {
	// Generate are the files whose services are read.
	Generate []protoreflect.FileDescriptor
	// Known are all files of the run, those that are only imported included.
	Known []protoreflect.FileDescriptor
	// Document is policy for schemas that carry no annotations. At each level it wins over an annotation. Nil for none.
	Document *policy.Document
	// DocumentName is the Source of the document's layers, which ends up in generated code; "" for the document's own.
	DocumentName string
	// DocumentUnread tells that there is a document which cannot be read: what it could put right is not judged.
	DocumentUnread bool
}

// Service is the policy of one service.
type Service struct {
	// Stack has every level that says something, lowest first.
	Stack policy.Stack
	// Annotated tells whether an annotation on the file, the service or an RPC, or the document's defaults or its entry
	// for the service, sets anything.
	Annotated bool
	// Methods are in the order of the schema.
	Methods []Method
}

// Method is what the schema says of one RPC.
type Method struct {
	// Name is the name in the schema, e.g., "GetItem".
	Name string
	// RPC decides what may be done with it; its traits include those of the document.
	RPC policy.RPC
	// Withheld is what the RPC inherits and does not get.
	Withheld []policy.Withheld
}

// Read returns the policy of every service of in.Generate by full name, or everything that is wrong with it, sorted.
func Read(in Input) (map[protoreflect.FullName]*Service, Problems) {
	r := &reader{in: in, newer: findNewerOptions(in.Known)}
	r.foreign = r.findForeign()
	r.defaults = r.document()
	services := make(map[protoreflect.FullName]*Service)
	for _, file := range in.Generate {
		r.file(file, services)
	}
	return services, r.problems.Sorted()
}

type reader struct {
	in       Input
	newer    newerOptions
	foreign  map[optionNumber]bool
	defaults []layer // of the document, for every service
	problems Problems
}

func (r *reader) report(place Place, subject string, p policy.Problem) {
	r.problems = append(r.problems, Problem{Place: place, Subject: subject, Path: p.Path, Text: p.Text})
}

// reportText reports what concerns no single field.
func (r *reader) reportText(place Place, subject, text string) {
	r.report(place, subject, policy.Problem{Text: text})
}

// file reads the services of one file.
func (r *reader) file(file protoreflect.FileDescriptor, services map[protoreflect.FullName]*Service) {
	f := &fileReader{reader: r, file: file}
	own := f.fileLayers()
	if file.Services().Len() == 0 {
		for _, l := range own {
			r.reportText(l.place(""), l.subject, "has no effect: the file has no service; "+
				"move it to the files that declare the services, or remove it")
		}
		return
	}
	shared := append(own, r.defaults...)
	for i := range file.Services().Len() {
		sd := file.Services().Get(i)
		services[sd.FullName()] = f.service(sd, shared)
	}
}

// service reads one service; shared are the layers of its file.
func (f *fileReader) service(sd protoreflect.ServiceDescriptor, shared []layer) *Service {
	onMethods, traits := f.methodLayer(sd)
	fromDocument, documentTraits := f.entryLayers(sd)
	layers := append([]layer(nil), shared...)
	layers = append(layers, f.serviceLayer(sd))
	layers = appendLevel(layers, fromDocument, policy.LevelService)
	layers = append(layers, onMethods)
	layers = appendLevel(layers, fromDocument, policy.LevelMethod)

	s := new(Service)
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		name := string(md.Name())
		rpc := policy.RPC{
			Idempotency:     idempotency(md),
			ClientStreaming: md.IsStreamingClient(),
			ServerStreaming: md.IsStreamingServer(),
		}
		if traits[name] != nil || documentTraits[name] != nil {
			rpc.Traits = policy.Merge(traits[name], documentTraits[name])
			s.Annotated = s.Annotated || !isEmpty(rpc.Traits)
		}
		s.Methods = append(s.Methods, Method{Name: name, RPC: rpc})
	}
	for _, l := range layers {
		if !l.empty() {
			s.Stack = append(s.Stack, l.Layer)
			s.Annotated = true
		}
	}
	f.check(sd, s, layers)
	for i := range s.Methods {
		_, _, s.Methods[i].Withheld = s.Stack.Method(s.Methods[i].Name, s.Methods[i].RPC)
	}
	return s
}

func appendLevel(layers, from []layer, level policy.Level) []layer {
	for _, l := range from {
		if l.Level == level {
			layers = append(layers, l)
		}
	}
	return layers
}
