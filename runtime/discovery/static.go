package discovery

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc/resolver"
)

// NewStaticBuilder returns the builder for targets that are their own list of endpoints, in the grammar of
// [ParseEndpoints]:
//
//	static:///10.0.0.1:443,10.0.0.2:443;weight=2;zone=eu-west-1a
//
// It never changes. A question mark or a hash sign in it is written %3F or %23.
func NewStaticBuilder() resolver.Builder { return NewBuilder("static", openStatic) }

func openStatic(target Target) (Source, error) {
	text, err := opaque(target)
	if err != nil {
		return nil, err
	}
	// A space between items is in a URL as %20 once it has been a URL.
	endpoints, err := ParseEndpoints(strings.ReplaceAll(text, "%20", " "))
	if err != nil {
		return nil, err
	}
	return staticSource(endpoints), nil
}

// opaque returns what stands after the scheme as it was written: the list has a percent-encoding of its own, which
// the URL's must not undo first.
func opaque(target Target) (string, error) {
	u := target.URL
	var problems []Problem
	if u.Host != "" || u.User != nil {
		problems = append(problems, Problem{Value: u.Host,
			Text: "stands where a URL has its host, and a list has none; write three slashes, static:///host:port"})
	}
	if u.RawQuery != "" || u.ForceQuery {
		problems = append(problems, Problem{Value: "?" + u.RawQuery,
			Text: "is a query, and a list has none; write properties after a semicolon, or %3F for the question mark itself"})
	}
	if u.Fragment != "" {
		problems = append(problems, Problem{Value: "#" + u.EscapedFragment(),
			Text: "is a fragment, and a list has none; remove it, or write %23 for the hash sign itself"})
	}
	if len(problems) > 0 {
		return "", &ConfigError{Target: target.String(), Problems: problems}
	}
	switch {
	case u.Opaque != "":
		return u.Opaque, nil
	case u.RawPath != "": // as written; EscapedPath gives it up where it has a byte that a URL should not have
		return strings.TrimPrefix(u.RawPath, "/"), nil
	}
	return strings.TrimPrefix(u.EscapedPath(), "/"), nil
}

// staticSource is a snapshot and nothing after it.
type staticSource []Endpoint

// Watch implements [Source].
func (s staticSource) Watch() Watcher {
	return &staticWatcher{source: s, closed: make(chan struct{})}
}

func (s staticSource) authority() string { return listAuthority(s) }

// snapshot is the list as an event. The identity of an endpoint is its key, since a list names none twice.
func snapshot(revision int64, endpoints []Endpoint) Event {
	put := make([]Entry, len(endpoints))
	for i, e := range endpoints {
		put[i] = Entry{Key: e.ID(), Endpoint: e}
	}
	return Event{Revision: revision, Reset: true, Put: put}
}

// listAuthority is the name of the first endpoint, which a server that asks for one authority is most likely to
// expect.
func listAuthority(endpoints []Endpoint) string {
	if len(endpoints) > 0 {
		if name := authority(endpoints[0].Addresses[0]); name != "" {
			return name
		}
	}
	return localAuthority
}

type staticWatcher struct {
	source staticSource
	told   bool // of the goroutine that calls Next
	once   sync.Once
	closed chan struct{}
}

// Next implements [Watcher].
func (w *staticWatcher) Next(ctx context.Context) (Event, error) {
	select {
	case <-w.closed:
		return Event{}, ErrClosed
	default:
	}
	if !w.told && ctx.Err() == nil {
		w.told = true
		return snapshot(1, w.source), nil
	}
	select {
	case <-w.closed:
		return Event{}, ErrClosed
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// Refresh implements [Watcher]: there is nothing to look at.
func (w *staticWatcher) Refresh() {}

// Close implements [Watcher].
func (w *staticWatcher) Close() { w.once.Do(func() { close(w.closed) }) }
