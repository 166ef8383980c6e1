package policy

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// setScalar stores text in v, whose kind is k. The error does not have the text.
func setScalar(v reflect.Value, k kind, text string) error {
	var err error
	switch k {
	case kindBool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case kindInt:
		var n int64
		n, err = strconv.ParseInt(text, 0, v.Type().Bits())
		v.SetInt(n)
	case kindFloat:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		v.SetFloat(x)
	case kindDuration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
	default:
		v.SetString(text)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange) || k == kindDuration && durationForm.MatchString(text):
		return errTooLarge
	default:
		return errors.New(remedy(k))
	}
}

var (
	errTooLarge = errors.New("is too large; write a smaller value")

	// durationForm is what time.ParseDuration reads: what it refuses of this form is out of range, which its error does
	// not tell.
	durationForm = regexp.MustCompile(`^[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`)
)

// remedy says, after a value, that it is not of kind k and what to write instead.
func remedy(k kind) string {
	switch k {
	case kindBool:
		return "is neither true nor false; write one of them"
	case kindInt:
		return "is not a whole number; write digits, such as 3"
	case kindFloat:
		return "is not a number; write one, such as 0.5"
	case kindDuration:
		return `is not a duration; write a number with a unit, such as "250ms" or "1m30s"`
	default:
		return "is not text; put it in quotes"
	}
}

// yamlTags are the types that YAML may see in a value of kind k. A duration is text: "10" has no unit.
func yamlTags(k kind) []string {
	switch k {
	case kindBool:
		return []string{"!!bool"}
	case kindInt:
		return []string{"!!int"}
	case kindFloat:
		return []string{"!!int", "!!float"}
	default:
		return []string{"!!str"}
	}
}

// parseScalar stores the YAML value n in v, whose kind is k.
func parseScalar(n *yaml.Node, v reflect.Value, k kind) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("%s %s", describeNode(n), remedy(k))
	}
	err := setScalar(v, k, n.Value)
	switch {
	case slices.Contains(yamlTags(k), n.Tag) || errors.Is(err, errTooLarge) && !isQuoted(n):
		// YAML takes a whole number that is too large for one with a fraction.
	case isQuoted(n) && err == nil:
		err = errors.New("is text; remove the quotes")
	default:
		err = errors.New(remedy(k))
	}
	if err != nil {
		return fmt.Errorf("%s %w", describeNode(n), err)
	}
	return nil
}

func isQuoted(n *yaml.Node) bool { return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 }

// describeNode names what stands in the text, for an error: text in quotes, a number as it stands.
func describeNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "a YAML alias"
	case n.Tag == "!!null":
		return "nothing"
	case slices.Contains([]string{"!!bool", "!!int", "!!float"}, n.Tag) && !isQuoted(n):
		return n.Value
	default:
		return strconv.Quote(n.Value)
	}
}
