package discoverytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// complaints collects what a reader finds wrong.
type complaints []string

func (c *complaints) Helper() {}
func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func TestReaderFindsBrokenContracts(t *testing.T) {
	put := func(i, version int) discovery.Entry {
		return discovery.Entry{Key: key(i), Endpoint: endpoint(i, version)}
	}
	list := func(entries ...discovery.Entry) []discovery.Entry { return entries }
	first := discovery.Event{Revision: 5, Reset: true, Put: list(put(1, 2))}
	tests := []struct {
		name   string
		events []discovery.Event
		want   string // "" for none
	}{
		{"snapshot and changes", []discovery.Event{first,
			{Revision: 6, Put: list(put(1, 3), put(2, 1))}, {Revision: 6}, {Revision: 9, Delete: []string{key(2)}}}, ""},
		{"snapshot again", []discovery.Event{first, first}, ""},
		{"no snapshot", []discovery.Event{{Revision: 5, Put: list(put(1, 1))}}, "no Reset"},
		{"revision goes back", []discovery.Event{first, {Revision: 4}}, "revision 4 came after 5"},
		{"changes at the same revision", []discovery.Event{first, {Revision: 5, Put: list(put(2, 1))}}, "with changes"},
		{"put twice", []discovery.Event{first, {Revision: 6, Put: list(put(1, 2))}}, "seen twice"},
		{"put twice in one event", []discovery.Event{first, {Revision: 6, Put: list(put(2, 1), put(2, 2))}}, "twice"},
		{"old version", []discovery.Event{first, {Revision: 6, Put: list(put(1, 1))}}, "version 1 of 10.0.0.1:443, after 2"},
		{"unknown delete", []discovery.Event{first, {Revision: 6, Delete: []string{key(7)}}}, "not there"},
		{"reset that deletes", []discovery.Event{{Revision: 5, Reset: true, Delete: []string{key(7)}}}, "a Reset deletes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c complaints
			r := newReader(&c, newLog())
			defer r.watcher.Close()
			for _, ev := range tt.events {
				r.take(ev)
			}
			if got := strings.Join(c, "; "); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
