package discovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/internal/filewatch"
)

// NewFileBuilder returns the builder for targets that are a file with a list of endpoints, in the form of
// [ParseEndpointsFile]:
//
//	file:///etc/inventory/endpoints.yaml
//
// The file is watched, by its directory: it may be renamed into place, be swapped by a symlink as in a Kubernetes
// volume, or vanish for a while, its directory too. Bursts of changes count as one. Where the system cannot watch, the
// file is read every 10 s at least. What cannot be read, or is no valid list, leaves the last good one in use, marked as
// stale, until it is mended. Resolving again reads the file at once.
func NewFileBuilder() resolver.Builder {
	return NewBuilder("file", func(target Target) (Source, error) { return openFile(target) })
}

func openFile(target Target) (*fileSource, error) {
	path := target.URL.Path
	problems := plainProblems(target, "file:///etc/inventory/endpoints.yaml")
	if len(problems) == 0 && (path == "" || filepath.Clean(path) == "/") {
		problems = append(problems, Problem{Text: "the path of a file is missing; write file:///etc/inventory/endpoints.yaml"})
	}
	if len(problems) > 0 {
		return nil, &ConfigError{Target: target.String(), Problems: problems}
	}
	return &fileSource{target: target.String(), path: filepath.Clean(path)}, nil
}

type fileSource struct {
	target  string
	path    string
	options filewatch.Options
}

// authority is that of a list whose content is not known without reading it. Only sockets have it.
func (s *fileSource) authority() string { return localAuthority }

// Watch implements [Source].
func (s *fileSource) Watch() Watcher {
	return &fileWatcher{source: s, file: filewatch.New(s.path, s.options)}
}

// fileWatcher makes events of what the file holds. Its fields are of the goroutine that calls Next.
type fileWatcher struct {
	source   *fileSource
	file     *filewatch.Watcher
	revision int64 // 0 before the first list
	last     []Endpoint
}

// Next implements [Watcher].
func (w *fileWatcher) Next(ctx context.Context) (Event, error) {
	state, err := w.file.Next(ctx)
	switch {
	case errors.Is(err, filewatch.ErrClosed):
		return Event{}, ErrClosed
	case err != nil:
		return Event{}, err
	}
	endpoints, err := w.endpoints(state)
	switch {
	case err != nil && w.revision == 0:
		return Event{}, err
	case err != nil:
		return Event{Revision: w.revision, Stale: err}, nil
	case w.revision > 0 && slices.EqualFunc(w.last, endpoints, Endpoint.Equal):
		return Event{Revision: w.revision}, nil
	}
	w.last = endpoints
	w.revision++
	return snapshot(w.revision, endpoints), nil
}

func (w *fileWatcher) endpoints(state filewatch.State) ([]Endpoint, error) {
	if state.Err != nil {
		return nil, fmt.Errorf("target %q: cannot read the list of endpoints: %w", w.source.target, state.Err)
	}
	endpoints, err := ParseEndpointsFile(state.Data)
	return endpoints, inTarget(err, w.source.target)
}

// Refresh implements [Watcher].
func (w *fileWatcher) Refresh() { w.file.Refresh() }

// Close implements [Watcher].
func (w *fileWatcher) Close() { w.file.Close() }
