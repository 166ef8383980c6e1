package discovery

import "google.golang.org/grpc/resolver"

const memoryScheme = "memory"

// NewMemoryBuilder returns the builder for the services of a [Registry]:
//
//	memory:///inventory
//
// All that follows the third slash is the name of the service, percent-decoded. It need not exist yet: the list is empty
// until somebody registers. Without a registry, which is nil, every target is refused with a [*ConfigError]: there is
// none that a process has by itself.
func NewMemoryBuilder(r *Registry) resolver.Builder {
	return NewBuilder(memoryScheme, func(target Target) (Source, error) {
		problems := plainProblems(target, "memory:///inventory")
		if target.Endpoint() == "" {
			problems = append(problems, Problem{Text: "the name of a service is missing; write memory:///inventory"})
		}
		if r == nil {
			problems = append(problems, Problem{Text: "no registry was given for targets in memory; " +
				"add WithResolvers(discovery.NewMemoryBuilder(registry)), with the registry that the servers register in"})
		}
		if len(problems) > 0 {
			return nil, &ConfigError{Target: target.String(), Problems: problems}
		}
		return r.Source(target.Endpoint()), nil
	})
}

// plainProblems is what is wrong with a target that should be a scheme, three slashes and a path.
func plainProblems(target Target, example string) []Problem {
	u := target.URL
	var problems []Problem
	switch {
	case u.Opaque != "":
		problems = append(problems, Problem{Value: u.Opaque, Text: "lacks the slashes after the scheme; write " + example})
	case u.Host != "" || u.User != nil:
		problems = append(problems, Problem{Value: u.Host,
			Text: "stands where a URL has its host; write three slashes, as in " + example})
	}
	if u.RawQuery != "" || u.ForceQuery {
		problems = append(problems, Problem{Value: "?" + u.RawQuery,
			Text: "is a query, which has no meaning here; remove it, or write %3F for the question mark itself"})
	}
	return append(problems, fragmentProblems(target)...)
}

func fragmentProblems(target Target) []Problem {
	if target.URL.Fragment == "" {
		return nil
	}
	return []Problem{{Value: "#" + target.URL.EscapedFragment(),
		Text: "is a fragment, which has no meaning here; remove it, or write %23 for the hash sign itself"}}
}
