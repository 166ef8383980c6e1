package policy

import (
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// pending are the parts of the language that this version does not carry out. They are refused wherever they are
// written: a policy that is accepted and not carried out is worse than none.
var pending = map[string]string{
	"outlier_detection":                   "outlier detection",
	"retry_budget":                        "the retry budget",
	"circuit_breaker":                     "the circuit breaker",
	"concurrency_limit":                   "the concurrency limit",
	"rate_limit":                          "the rate limit",
	"adaptive_throttle":                   "the adaptive throttle",
	"load_balancing.weighted_round_robin": "the weighted_round_robin policy",
	"load_balancing.peak_ewma":            "the peak_ewma policy",
	"load_balancing.consistent_hash":      "the consistent_hash policy",
	"load_balancing.adaptive":             "the adaptive policy",
	"load_balancing.subset_size":          "subsetting",
	"load_balancing.zone_aware":           "zone preference",
	"load_balancing.slow_start":           "slow start",
	"load_balancing.panic_ratio":          "the panic threshold",
	"load_balancing.failover":             "failover between priorities",
	"timeout.per_attempt":                 "the deadline of an attempt",
	"stream_timeout.idle":                 "the idle time of a stream",
	"retry":                               "retry",
	"hedging":                             "hedging",
	"hash_key":                            "the hash key",
}

// Unsupported reports each feature of v that this version knows but does not carry out yet. A feature that v only turns
// off is not reported.
func Unsupported[T Mergeable](v *T) Problems {
	var ps Problems
	if v == nil {
		return nil
	}
	off := make(map[string]bool)
	for path, value := range Fields(v) {
		if strings.HasSuffix(path, ".disabled") && value == true {
			off[strings.TrimSuffix(path, ".disabled")] = true
		}
	}
	for path, value := range Fields(v) {
		name := pending[strings.TrimPrefix(path, "method_defaults.")]
		if name != "" && !off[path] && !asksForNothing(value) {
			ps.add(path, "%s is not carried out by this version of goresilient; remove it, or upgrade to a version that does", name)
		}
	}
	return ps
}

// asksForNothing tells whether the value of a pending scalar is the one that turns it off: 0, "0s" or false.
func asksForNothing(value any) bool {
	return value != nil && reflect.ValueOf(value).IsZero()
}

// Pending yields what [Unsupported] reports, in order: the path of each field, below its service or its RPC, and what it is.
func Pending() iter.Seq2[string, string] {
	return func(yield func(path, name string) bool) {
		for _, path := range slices.Sorted(maps.Keys(pending)) {
			if !yield(path, pending[path]) {
				return
			}
		}
	}
}

// Carried returns v without what [Unsupported] reports, defaults included: what a client does. It changes nothing in v.
func Carried[T Mergeable](v *T) *T {
	out := Merge(nil, v)
	dropPending(reflect.ValueOf(out).Elem(), "")
	return out
}

func dropPending(v reflect.Value, prefix string) {
	s := schemaOf(v.Type())
	for i := range s.fields {
		f := &s.fields[i]
		fv := fieldValue(v, f)
		path := prefix + f.name
		switch {
		case !isSet(fv):
		case pending[strings.TrimPrefix(path, "method_defaults.")] != "":
			fv.SetZero()
		case f.kind == kindMessage:
			dropPending(fv.Elem(), path+".")
		}
	}
}
