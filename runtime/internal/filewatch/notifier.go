package filewatch

import "github.com/fsnotify/fsnotify"

// notifier tells of changes in one directory.
type notifier struct {
	events <-chan fsnotify.Event
	errors <-chan error
	close  func()
}

func watchDirectory(dir string) (*notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close() // nothing was watched
		return nil, err
	}
	return &notifier{events: w.Events, errors: w.Errors, close: func() { _ = w.Close() }}, nil
}
