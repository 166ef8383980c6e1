package discovery

import (
	"fmt"
	"maps"
	"slices"
)

// Compare is a condition of a [Registry.Txn].
type Compare struct {
	Service, Key string
	// Version is what [Registry.Version] must be: 0 if the key must not be there.
	Version int64
}

// Op is one change, made by [PutOp] or [DeleteOp]. The zero value is refused.
type Op struct {
	name     bucketName
	key      string
	delete   bool
	endpoint Endpoint
	data     []byte
	lease    LeaseID
	problems []Problem // of the endpoint
}

// PutOption changes a put.
type PutOption interface{ applyPut(*Op) }

type putOption func(*Op)

func (o putOption) applyPut(op *Op) { o(op) }

// WithLease removes the key when the lease ends. Default: it stays until it is deleted.
func WithLease(id LeaseID) PutOption { return putOption(func(op *Op) { op.lease = id }) }

// PutOp is [Registry.Put] as a part of a [Registry.Txn].
func PutOp(service, key string, e Endpoint, opts ...PutOption) Op {
	op := Op{name: bucketName{name: service}, key: key}
	op.endpoint, op.problems = checkedEndpoint(e)
	for _, o := range opts {
		o.applyPut(&op)
	}
	return op
}

// DeleteOp is [Registry.Delete] as a part of a [Registry.Txn]. A key that is not there is no change.
func DeleteOp(service, key string) Op {
	return Op{name: bucketName{name: service}, key: key, delete: true}
}

func (op Op) check() []Problem {
	var problems []Problem
	if op.name.name == "" && !op.name.value {
		problems = append(problems, Problem{Text: "the service has no name; give one, such as inventory"})
	}
	if op.name.value && op.name.name == "" {
		problems = append(problems, Problem{Text: "the key is empty; give one, such as policy/inventory"})
	}
	if op.key == "" && !op.name.value {
		problems = append(problems, Problem{Text: "the key is empty; give one that is its own within the service, " +
			"such as the address of the endpoint"})
	}
	return append(problems, op.problems...)
}

// checkOps returns a ConfigError with all that is wrong with ops, nil if nothing is.
func checkOps(ops []Op) error {
	var problems []Problem
	seen := make(map[leased]bool, len(ops))
	for _, op := range ops {
		problems = append(problems, op.check()...)
		at := leased{op.name, op.key}
		if seen[at] {
			problems = append(problems, Problem{Value: op.name.name + "/" + op.key,
				Text: "is changed twice in one transaction; keep the change that is meant"})
		}
		seen[at] = true
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}

// checkedEndpoint returns a copy of e with canonical addresses and its default weight, or what is wrong with it: the
// limits are those of the list grammar.
func checkedEndpoint(e Endpoint) (Endpoint, []Problem) {
	var problems []Problem
	if len(e.Addresses) == 0 {
		problems = append(problems, Problem{Text: "the endpoint has no address; give one, such as 10.0.0.1:443"})
	}
	e.Addresses = slices.Clone(e.Addresses)
	for i, a := range e.Addresses {
		canonical, problem := parseAddress(a)
		if problem != "" {
			problems = append(problems, Problem{Value: a, Text: problem})
			continue
		}
		if first := slices.Index(e.Addresses[:i], canonical); first >= 0 {
			problems = append(problems, Problem{Value: a, Text: "stands there twice; remove one"})
		}
		e.Addresses[i] = canonical
	}
	if e.Weight > maxWeight {
		problems = append(problems, Problem{Value: fmt.Sprint(e.Weight),
			Text: fmt.Sprintf("is too great a weight; give a whole number from 1 to %d", maxWeight)})
	}
	if e.Priority > maxPriority {
		problems = append(problems, Problem{Value: fmt.Sprint(e.Priority),
			Text: fmt.Sprintf("is no priority; give a whole number from 0 to %d", maxPriority)})
	}
	e.Metadata = maps.Clone(e.Metadata)
	return normal(e), problems
}
