package etcd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// UnreadableError is why a set may lack endpoints: the values of some keys are no endpoints. An endpoint that such a key had
// before stays in the set.
type UnreadableError struct {
	// Values are the values at fault, in the order of their keys. There is at least one.
	Values []UnreadableValue
}

// UnreadableValue is a value that is no endpoint.
type UnreadableValue struct {
	// Key is where it is, e.g., "inventory/10.0.0.7:443".
	Key string
	// Err is what is wrong with it.
	Err error
}

// newUnreadableError returns nil if there are none.
func newUnreadableError(values map[string]error) error {
	if len(values) == 0 {
		return nil
	}
	e := &UnreadableError{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		e.Values = append(e.Values, UnreadableValue{key, values[key]})
	}
	return e
}

// Error names the first few values.
func (e *UnreadableError) Error() string {
	const shown = 3
	var b strings.Builder
	fmt.Fprintf(&b, "etcd: %d of the keys cannot be read as endpoints; write them anew or delete them: ", len(e.Values))
	for i, v := range e.Values {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(e.Values)-shown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%q: %v", v.Key, v.Err)
	}
	return b.String()
}
