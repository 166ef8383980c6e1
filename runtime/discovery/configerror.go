package discovery

import (
	"errors"
	"fmt"
	"strings"
)

// ConfigError is a mistake in a target or in what it refers to: a malformed list, a variable that is not set, a
// scheme that nobody knows. Waiting does not help; somebody must change something, and the text says what.
type ConfigError struct {
	// Target is the target at fault, as written; "" if the error comes from [ParseEndpoints].
	Target string
	// Value is the text that the columns of Problems refer to, e.g., the value of a variable; "" if it is the target.
	Value string
	// Problems is everything that is wrong, in the order of the text. There is at least one.
	Problems []Problem
}

// Problem is one thing that is wrong.
type Problem struct {
	// Line is where, from 1; 0 if the text has but one.
	Line int
	// Column is where, in bytes from 1; 0 if it is about the whole.
	Column int
	// Value is the part at fault, as written; "" if something is missing.
	Value string
	// Text says what is wrong with Value and what to write instead, e.g., "has no port; write db-1:443".
	Text string
}

// Error returns "column N: value text", or "line L:N: value text", without what is unknown.
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d:%d: ", p.Line, p.Column)
	case p.Column > 0:
		fmt.Fprintf(&b, "column %d: ", p.Column)
	}
	if p.Value != "" {
		fmt.Fprintf(&b, "%q ", p.Value)
	}
	b.WriteString(p.Text)
	return b.String()
}

// Error names the target, the value, and every problem.
func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.Target != "" {
		fmt.Fprintf(&b, "target %q: ", shortened(e.Target))
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "value %q: ", shortened(e.Value))
	}
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; and ")
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// Unwrap lets [errors.As] reach each [Problem].
func (e *ConfigError) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// IsPermanent reports whether err stays until somebody changes the configuration: it is, or wraps, a [*ConfigError]. Of a
// [*TargetsError] each must be one.
func IsPermanent(err error) bool {
	var several *TargetsError
	if errors.As(err, &several) {
		return several.All(IsPermanent)
	}
	var c *ConfigError
	return errors.As(err, &c)
}

// badTarget is a ConfigError with one problem of the target as a whole.
func badTarget(target, format string, args ...any) *ConfigError {
	return &ConfigError{Target: target, Problems: []Problem{{Text: fmt.Sprintf(format, args...)}}}
}

// inTarget returns err with the target that it happened in, if it is a ConfigError that does not know.
func inTarget(err error, target string) error {
	var c *ConfigError
	if !errors.As(err, &c) || c.Target != "" {
		return err
	}
	return &ConfigError{Target: target, Value: c.Value, Problems: c.Problems}
}

// shortened keeps an error readable when the list has a thousand endpoints: each problem shows its own part anyway.
func shortened(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
