// Package filewatch follows the contents of one file.
//
// What is watched is the file's directory, so that a rename over the file, the symlink swap of a Kubernetes volume, and
// deletion with re-creation are seen. Where the system cannot watch, and where it would not tell (a network file system,
// a symlink that leaves the directory), the file is read from time to time.
package filewatch

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrClosed is what [Watcher.Next] returns after Close.
var ErrClosed = errors.New("filewatch: the watcher is closed")

// State is what the file holds, or why that is not known.
type State struct {
	// Data is the content; nil with Err. It is not changed by anybody.
	Data []byte
	// Err is why the file could not be read.
	Err error
}

func (s State) equal(o State) bool {
	if (s.Err == nil) != (o.Err == nil) || s.Err != nil && s.Err.Error() != o.Err.Error() {
		return false
	}
	return bytes.Equal(s.Data, o.Data)
}

// Options are the times of a [Watcher]. The zero value has the defaults.
type Options struct {
	// Debounce is how long the directory must be quiet before the file is read, so that a file that is being written is
	// read once and whole. A directory that is never quiet is read after ten times that. Default: 50 ms.
	Debounce time.Duration
	// Poll is when the file is read without having been told to. Default: 10 s.
	Poll time.Duration

	watch func(dir string) (*notifier, error) // for tests; default: the system's
}

const (
	defaultDebounce = 50 * time.Millisecond
	defaultPoll     = 10 * time.Second
	patience        = 10 // debounces at most
)

// Watcher follows one file. Next is for one goroutine at a time; Refresh and Close may be called by any.
type Watcher struct {
	path    string
	options Options
	again   chan struct{} // holds one request to read now
	changed chan struct{} // holds one notice that state is another one
	closing chan struct{}
	done    chan struct{} // closed when the goroutine is gone

	mu      sync.Mutex // guards all below
	started bool
	closed  bool
	state   State
	known   bool // state holds

	told  State // what Next returned last; of its goroutine
	spoke bool  // told holds
}

// New returns a watcher of path. Nothing is read, and nothing runs, before the first Next.
func New(path string, o Options) *Watcher {
	if o.Debounce <= 0 {
		o.Debounce = defaultDebounce
	}
	if o.Poll <= 0 {
		o.Poll = defaultPoll
	}
	if o.watch == nil {
		o.watch = watchDirectory
	}
	return &Watcher{
		path: path, options: o,
		again: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
}

// Next returns the state of the file at once the first time, and then whenever it is another one than was returned last.
// States in between may be left out. The error is that of ctx, or [ErrClosed].
func (w *Watcher) Next(ctx context.Context) (State, error) {
	w.start()
	for {
		w.mu.Lock()
		state, known, closed := w.state, w.known, w.closed
		w.mu.Unlock()
		switch {
		case closed:
			return State{}, ErrClosed
		case known && !(w.spoke && state.equal(w.told)):
			w.told, w.spoke = state, true
			return state, nil
		}
		select {
		case <-w.changed:
		case <-w.closing:
		case <-ctx.Done():
			return State{}, ctx.Err()
		}
	}
}

// Refresh reads the file now.
func (w *Watcher) Refresh() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// Close ends the watch and waits for its goroutine. It may be called more than once.
func (w *Watcher) Close() {
	w.mu.Lock()
	started, closed := w.started, w.closed
	w.closed = true
	if !closed {
		close(w.closing)
	}
	w.mu.Unlock()
	if started {
		<-w.done
	}
}

func (w *Watcher) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.closed {
		return
	}
	w.started = true
	go func() {
		defer close(w.done)
		newLoop(w).run()
	}()
}

// publish makes s what Next returns.
func (w *Watcher) publish(s State) {
	w.mu.Lock()
	w.state, w.known = s, true
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
