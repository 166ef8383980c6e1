package annotation

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/goresilient/goresilient/runtime/policy"
)

// check reports what only all levels of a service together, or a level and the kind of an RPC, can tell to be wrong.
func (r *reader) check(sd protoreflect.ServiceDescriptor, s *Service, layers []layer) {
	for _, m := range s.Methods {
		rpc := m.RPC
		if r.in.DocumentUnread {
			allowed := "the document may have a reason"
			rpc.Traits = policy.Merge(rpc.Traits, &policy.Traits{SideEffectFreeBecause: &allowed})
		}
		md := sd.Methods().ByName(protoreflect.Name(m.Name))
		for _, l := range layers {
			for _, p := range checkWritten(l.Methods[m.Name], rpc) {
				r.report(l.methodPlace(m.Name, p.Path), string(md.FullName()), p)
			}
		}
	}
	for _, l := range layers {
		if l.broken {
			return // reported already; what is derived from it would only confuse
		}
	}
	if r.in.DocumentUnread {
		return // it may have what the other levels lack
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
	shared := make(map[policy.Problem]bool) // of the file and the defaults alone
	merged, _ := belowService(s.Stack).Service()
	for _, p := range policy.ValidateEffective(merged) {
		shared[p] = true
	}
	inherited := make(map[string]bool)
	merged, _ = s.Stack.Service()
	for _, p := range policy.ValidateEffective(merged) {
		inherited[p.Path] = true
		if at, ok := locateService(layers, p.Path); ok {
			r.reportEffective(at, p, string(sd.FullName()), shared[p])
		}
	}
	for _, m := range s.Methods {
		md := sd.Methods().ByName(protoreflect.Name(m.Name))
		merged, _, _ := s.Stack.Method(m.Name, m.RPC)
		for _, p := range policy.ValidateEffectiveMethod(merged) {
			at, ok := locateMethod(layers, md, p.Path)
			if ok && (at.onMethod || !inherited["method_defaults."+p.Path]) {
				r.reportEffective(at, p, string(md.FullName()), false)
			}
		}
	}
}

// reportEffective reports a problem of the merged policy of a service or an RPC where the field is written. If that is
// at a lower level, which is not wrong by itself, it adds whose policy it does not go with.
func (r *reader) reportEffective(at written, p policy.Problem, whose string, byItself bool) {
	if p.Path = at.path; at.subject != whose && !byItself {
		p.Text += " (together with the policy of " + whose + ")"
	}
	r.report(at.place, at.subject, p)
}

// belowService returns the layers that a service shares with the others of its file.
func belowService(all policy.Stack) policy.Stack {
	return slices.DeleteFunc(slices.Clone(all), func(l policy.Layer) bool { return l.Level >= policy.LevelService })
}
