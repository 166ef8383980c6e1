package etcd

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// serviceKey is what all keys of a service begin with.
func serviceKey(prefix, service string) string { return prefix + service + "/" }

// serviceProblems is what is wrong with the name of a service.
func serviceProblems(service string) []discovery.Problem {
	text := ""
	switch {
	case service == "":
		text = "the name of the service is missing; write etcd:///inventory"
	case !utf8.ValidString(service):
		text = "is not UTF-8; write the name of the service as text"
	case strings.ContainsFunc(service, unicode.IsControl):
		text = "has a control character in it, such as a tab or a line break; remove it"
	case strings.HasPrefix(service, "/") || strings.HasSuffix(service, "/"):
		text = "begins or ends with a slash; write the name without it, and a prefix of keys with WithPrefix"
	default:
		return nil
	}
	return []discovery.Problem{{Value: service, Text: text}}
}

// targetProblems is what is wrong with a target that should be etcd:///service.
func targetProblems(target discovery.Target) []discovery.Problem {
	u := target.URL
	var problems []discovery.Problem
	switch {
	case u.Opaque != "":
		problems = append(problems, discovery.Problem{Value: u.Opaque,
			Text: "lacks the slashes after the scheme; write etcd:///inventory"})
	case u.Host != "" || u.User != nil:
		problems = append(problems, discovery.Problem{Value: u.Host, Text: "stands where a URL has its host; write three " +
			"slashes, as in etcd:///inventory, and give the addresses of etcd to its client"})
	}
	if u.RawQuery != "" || u.ForceQuery {
		problems = append(problems, discovery.Problem{Value: "?" + u.RawQuery,
			Text: "is a query, which has no meaning here; remove it, or write %3F for the question mark itself"})
	}
	if u.Fragment != "" {
		problems = append(problems, discovery.Problem{Value: "#" + u.EscapedFragment(),
			Text: "is a fragment, which has no meaning here; remove it, or write %23 for the hash sign itself"})
	}
	if u.Opaque != "" {
		return problems
	}
	return append(problems, serviceProblems(target.Endpoint())...)
}
