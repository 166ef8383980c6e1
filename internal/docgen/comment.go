package main

import (
	"fmt"
	"regexp"
	"strings"
)

// facts is what the comment of a field says, taken apart. The schema has them as sentences in this order: meaning,
// range, default, scope.
type facts struct {
	meaning string // e.g., "Attempts with the first."
	limits  string // e.g., "2 to 5"; "" if any value will do
	def     string // e.g., "3"; "required" where a level has to give one; "" if the comment says nothing
	scope   string // e.g., "method, hot"
}

var (
	isScope = regexp.MustCompile(`^(Channel|Service|Method|Service or method), (hot|at start|compiled in)$` +
		`|^Scope and time |^Each field has its own scope|^The document as a whole, hot$`)
	isLimits = regexp.MustCompile(`^(A share|A duration|Not )|^(Endpoints|Calls|Attempts|Attempts a second|Bytes), ` +
		`|^In \(|^> ?\d|^\d`)
)

// parseComment takes the comment of a field apart.
func parseComment(comment string) (facts, error) {
	var f facts
	all := sentences(comment)
	if len(all) == 0 || !isScope.MatchString(all[len(all)-1]) {
		return f, fmt.Errorf(`the comment %q does not end in its scope; end it in, e.g., "Method, hot."`, comment)
	}
	f.scope = lowerFirst(strings.TrimPrefix(all[len(all)-1], "Scope and time "))
	var meaning []string
	for _, s := range all[:len(all)-1] {
		switch {
		case strings.HasPrefix(s, "Default: "):
			f.def = strings.TrimPrefix(s, "Default: ")
		case strings.HasPrefix(s, "Required"):
			f.def = lowerFirst(s)
		case f.limits == "" && isLimits.MatchString(s):
			f.limits = lowerFirst(s)
		default:
			meaning = append(meaning, s+".")
		}
	}
	f.meaning = strings.Join(meaning, " ")
	return f, nil
}

// sentences splits text at full stops that stand before a space or the end, and not within brackets ("ch. 21" stands
// within some). An interval such as (0, 1] closes what it opens.
func sentences(text string) []string {
	var all []string
	start, depth := 0, 0
	for i, r := range text {
		switch {
		case r == '(' || r == '[':
			depth++
		case r == ')' || r == ']':
			depth--
		case r == '.' && depth == 0 && (i+1 == len(text) || text[i+1] == ' '):
			all = append(all, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	return all
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
