package goresilient

import (
	"context"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/internal/filewatch"
)

// FileDocuments is a [DocumentSource] that follows a file, through atomic renames and the symlink swaps of Kubernetes. A file
// that is deleted or cannot be read is an error, and changes nothing.
type FileDocuments struct {
	path    string
	watcher *filewatch.Watcher
}

// NewFileDocuments follows the file at path. Nothing is read before the first Next. The caller closes it.
func NewFileDocuments(path string) *FileDocuments {
	return &FileDocuments{path: path, watcher: filewatch.New(path, filewatch.Options{})}
}

// Next implements [DocumentSource]. It is for one goroutine at a time.
func (f *FileDocuments) Next(ctx context.Context) (source string, document []byte, err error) {
	state, err := f.watcher.Next(ctx)
	switch {
	case err == filewatch.ErrClosed:
		return f.path, nil, discovery.ErrClosed
	case err != nil:
		return f.path, nil, err
	case state.Err != nil:
		return f.path, nil, state.Err
	}
	if state.Data == nil {
		return f.path, []byte{}, nil // an empty file is a document that is wrong, not the absence of one
	}
	return f.path, state.Data, nil
}

// Close ends the watch, and an [Overrides.Follow] of it. It may be called more than once.
func (f *FileDocuments) Close() { f.watcher.Close() }

// A ValueWatcher follows one key of a registry: [discovery.ValueWatcher], or that of the etcd module.
type ValueWatcher interface {
	Next(ctx context.Context) (discovery.Value, error)
}

// ValueDocuments returns a [DocumentSource] that follows a key; key names it in problems. A key that is not there is no
// document.
func ValueDocuments(key string, w ValueWatcher) DocumentSource { return valueDocuments{key, w} }

type valueDocuments struct {
	key     string
	watcher ValueWatcher
}

// Next implements [DocumentSource].
func (v valueDocuments) Next(ctx context.Context) (source string, document []byte, err error) {
	value, err := v.watcher.Next(ctx)
	if err != nil || !value.Exists {
		return v.key, nil, err
	}
	return v.key, append([]byte{}, value.Data...), nil
}
