package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a policy.
type Problem struct {
	// Source is the file or the key that the policy came from, e.g., "overrides.yaml"; "" for Go values.
	Source string
	// Line and Column count from 1; 0 where they are not known.
	Line, Column int
	// Path is the field, e.g., "services.acme.Inventory.policy.retry_budget.ratio".
	Path string
	// Text says what is wrong, with the value, and what to write instead.
	Text string
}

// Error returns "source:line:col: path: text", without what is unknown.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, "%d:", p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything that is wrong with a policy, in the order of the text or of the fields.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets [errors.As] reach each [Problem].
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// Err returns ps as an error, nil if there is none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// In returns ps with prefix before each path.
func (ps Problems) In(prefix string) Problems {
	out := slices.Clone(ps)
	for i := range out {
		switch {
		case prefix == "":
		case out[i].Path == "":
			out[i].Path = prefix
		default:
			out[i].Path = prefix + "." + out[i].Path
		}
	}
	return out
}

func (ps *Problems) add(path, format string, args ...any) {
	*ps = append(*ps, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}
