// Package policy holds resilience policy as plain Go values: the same language as the annotations in
// goresilient/v1/policy.proto, field for field.
//
// A field that is nil inherits; [Set] writes one. The first three lines are what a generated client's per-method
// option takes, the others what [goresilient.WithPolicy] takes for a whole service:
//
//	opts.GetItem.Policy = &policy.Method{
//		Timeout: &policy.Timeout{Total: policy.Set(300 * time.Millisecond)},
//	}
//	goresilient.WithPolicy(&policy.Service{
//		LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: policy.Set(3)}},
//	})
//
// Values are combined by [Merge], checked by [Validate], read from the protobuf form by [ServiceFromProto] and its
// siblings and from YAML or JSON by [ParseDocument], and written as YAML by [Document.YAML]. [Method] and [Service]
// values may be shared between goroutines as long as none writes them; this package never changes a value that it is
// given.
//
// [goresilient.WithPolicy]: https://pkg.go.dev/github.com/goresilient/goresilient/runtime#WithPolicy
package policy

// Set returns a pointer to v: a policy field that is written, as opposed to one that inherits.
func Set[T any](v T) *T { return &v }

// Value returns what p points to, or the zero value if p is nil.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
