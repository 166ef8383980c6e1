package annotation

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// check reports what only all levels of a service together, or a level and the kind of an RPC, can tell to be wrong.
func (r *reader) check(sd protoreflect.ServiceDescriptor, s *Service, layers []layer) {
	for _, m := range s.Methods {
		md := sd.Methods().ByName(protoreflect.Name(m.Name))
		for _, l := range layers {
			for _, p := range checkWritten(l.Methods[m.Name], m.RPC) {
				r.report(l.methodPlace(m.Name, p.Path), string(md.FullName()), text(p))
			}
		}
	}
	for _, l := range layers {
		if l.broken {
			return // reported already; what is derived from it would only confuse
		}
	}
	r.checkEffective(sd, s, layers)
}

// checkWritten is [policy.CheckWritten], and refuses what gRPC's own retry of streams cannot honour.
func checkWritten(m *policy.Method, rpc policy.RPC) policy.Problems {
	ps := policy.CheckWritten(m, rpc)
	if m != nil && m.Retry != nil && policy.Value(m.Retry.SkipNested) && rpc.Streaming() {
		ps = append(ps, policy.Problem{
			Path: "retry.skip_nested",
			Text: "cannot be honoured for a stream, which gRPC itself retries; remove it",
		})
	}
	return ps
}

func (r *reader) checkEffective(sd protoreflect.ServiceDescriptor, s *Service, layers []layer) {
	merged, _ := s.Stack.Service()
	inherited := make(map[string]bool)
	for _, p := range policy.ValidateEffective(merged) {
		inherited[p.Path] = true
		if at, ok := locateService(layers, p.Path); ok {
			r.report(at.place, at.subject, text(p))
		}
	}
	for _, m := range s.Methods {
		md := sd.Methods().ByName(protoreflect.Name(m.Name))
		merged, _, _ := s.Stack.Method(m.Name, m.RPC)
		for _, p := range policy.ValidateEffectiveMethod(merged) {
			at, ok := locateMethod(layers, md, p.Path)
			if ok && (at.onMethod || !inherited["method_defaults."+p.Path]) {
				r.report(at.place, at.subject, text(p))
			}
		}
	}
}
