package filewatch

import (
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// First pause before another try to watch, and its growth up to Options.Poll.
const (
	retryInitial = 100 * time.Millisecond
	retryFactor  = 2
)

// loop is the goroutine of a watcher.
type loop struct {
	w    *Watcher
	dir  string
	base string

	notifier *notifier   // nil while the directory is not watched
	watched  os.FileInfo // of the directory that notifier watches
	symlink  bool        // the file is one: any name of the directory may lead to it
	retry    time.Duration

	settle *time.Timer // fires when a burst is over
	since  time.Time   // of the burst; zero outside of one
	poll   *time.Timer
}

func newLoop(w *Watcher) *loop {
	path := filepath.Clean(w.path)
	return &loop{w: w, dir: filepath.Dir(path), base: filepath.Base(path), retry: retryInitial}
}

func (l *loop) run() {
	l.settle = time.NewTimer(time.Hour)
	l.settle.Stop()
	l.poll = time.NewTimer(time.Hour)
	defer l.settle.Stop()
	defer l.poll.Stop()
	defer l.unwatch()
	for {
		l.look()
		if !l.wait() {
			return
		}
	}
}

// look reads the file, after making sure that its directory is watched: in the other order, a change in between would
// be missed.
func (l *loop) look() {
	l.since = time.Time{}
	l.settle.Stop()
	next := l.w.options.Poll
	if l.watch() {
		l.retry = retryInitial
	} else {
		next = min(l.retry, next)
		l.retry = min(l.retry*retryFactor, l.w.options.Poll)
	}
	info, err := os.Lstat(l.w.path)
	l.symlink = err == nil && info.Mode()&os.ModeSymlink != 0
	l.w.publish(read(l.w.path))
	l.poll.Reset(next)
}

// watch reports whether the directory is watched. Its path may have come to stand for another one.
func (l *loop) watch() bool {
	info, err := os.Stat(l.dir)
	if err != nil {
		l.unwatch()
		return false
	}
	if l.notifier != nil && os.SameFile(info, l.watched) {
		return true
	}
	l.unwatch()
	n, err := l.w.options.watch(l.dir)
	if err != nil {
		return false // it is polled
	}
	l.notifier, l.watched = n, info
	return true
}

func (l *loop) unwatch() {
	if l.notifier != nil {
		l.notifier.close()
		l.notifier = nil
	}
}

// wait returns true when it is time to look, and false when the watch is over.
func (l *loop) wait() bool {
	for {
		var events <-chan fsnotify.Event
		var errs <-chan error
		if l.notifier != nil {
			events, errs = l.notifier.events, l.notifier.errors
		}
		select {
		case <-l.w.closing:
			return false
		case <-l.w.again:
			return true
		case <-l.poll.C:
			return true
		case <-l.settle.C:
			return true
		case ev, ok := <-events:
			l.notice(ev, ok)
		case <-errs:
			// Events were lost, or the watch is broken: begin anew.
			l.unwatch()
			l.unrest()
		}
	}
}

func (l *loop) notice(ev fsnotify.Event, ok bool) {
	switch {
	case !ok, ev.Name == l.dir && ev.Op&(fsnotify.Remove|fsnotify.Rename) != 0:
		// The directory is gone from its place. Another one there may have the same inode, so it has to be noted now.
		l.unwatch()
	case ev.Name != l.dir && !l.symlink && filepath.Base(ev.Name) != l.base:
		return
	}
	l.unrest()
}

// unrest puts the look off until the directory is quiet, though not for ever.
func (l *loop) unrest() {
	debounce := l.w.options.Debounce
	if l.since.IsZero() {
		l.since = time.Now()
	}
	left := time.Until(l.since.Add(patience * debounce))
	l.settle.Reset(max(min(debounce, left), 0))
}
