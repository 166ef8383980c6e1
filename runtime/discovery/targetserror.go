package discovery

import (
	"errors"
	"fmt"
	"strings"
)

// TargetsError is what is wrong with some of several targets. [IsPermanent] holds for it if it does for each, and no target
// is without an error.
type TargetsError struct {
	// Errors are in the order of the targets. There is at least one.
	Errors []*TargetError
	// Others is how many targets have no error.
	Others int
}

// TargetError is what is wrong with one of several targets.
type TargetError struct {
	// Target is the target, as written.
	Target string
	// Err is what its resolver reported last, or why it cannot be built.
	Err error
}

// Error names each target and what is wrong with it.
func (e *TargetsError) Error() string {
	texts := make([]string, len(e.Errors))
	for i, t := range e.Errors {
		texts[i] = t.Error()
	}
	return strings.Join(texts, "; and ")
}

// Unwrap returns the error of each target.
func (e *TargetsError) Unwrap() []error {
	errs := make([]error, len(e.Errors))
	for i, t := range e.Errors {
		errs[i] = t
	}
	return errs
}

// Error names the target, once.
func (e *TargetError) Error() string {
	var c *ConfigError
	if errors.As(e.Err, &c) && c.Target == e.Target {
		return e.Err.Error()
	}
	return fmt.Sprintf("target %q: %v", shortened(e.Target), e.Err)
}

// Unwrap returns what is wrong.
func (e *TargetError) Unwrap() error { return e.Err }

// All reports whether no target is without an error and holds is true for each error.
func (e *TargetsError) All(holds func(error) bool) bool {
	for _, t := range e.Errors {
		if !holds(t.Err) {
			return false
		}
	}
	return e.Others == 0
}
