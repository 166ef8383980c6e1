package filewatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick does not fall back to reading from time to time, so that what is seen was noticed.
var quick = Options{Debounce: time.Millisecond, Poll: time.Hour}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until reads until the file has the given content; "" for an error.
func until(t *testing.T, w *Watcher, want string) State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		s, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("the content %q did not come: %v", want, err)
		}
		if want == "" && s.Err != nil || want != "" && string(s.Data) == want {
			return s
		}
	}
}

func TestWatcherSees(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, dir, path string, w *Watcher)
	}{
		{"a write in place", func(t *testing.T, _, path string, w *Watcher) {
			write(t, path, "two")
			until(t, w, "two")
		}},
		{"an append", func(t *testing.T, _, path string, w *Watcher) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteString(" and more")
			must(t, err)
			until(t, w, "one and more")
		}},
		{"a rename over it", func(t *testing.T, dir, path string, w *Watcher) {
			for i := range 5 {
				text := fmt.Sprint("version ", i)
				write(t, filepath.Join(dir, "new"), text)
				must(t, os.Rename(filepath.Join(dir, "new"), path))
				until(t, w, text)
			}
		}},
		{"deletion and re-creation", func(t *testing.T, _, path string, w *Watcher) {
			must(t, os.Remove(path))
			if s := until(t, w, ""); !errors.Is(s.Err, fs.ErrNotExist) {
				t.Errorf("got %v", s.Err)
			}
			write(t, path, "one")
			until(t, w, "one")
		}},
		{"a directory in its place", func(t *testing.T, _, path string, w *Watcher) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
			for s := until(t, w, ""); !strings.Contains(s.Err.Error(), "is a directory"); {
				s = until(t, w, "")
			}
			must(t, os.Remove(path))
			write(t, path, "two")
			until(t, w, "two")
		}},
		{"its directory removed and made again", func(t *testing.T, dir, path string, w *Watcher) {
			for i := range 3 {
				must(t, os.RemoveAll(dir))
				until(t, w, "")
				must(t, os.Mkdir(dir, 0o700))
				text := fmt.Sprint("version ", i)
				write(t, path, text)
				until(t, w, text)
				write(t, path, text+" changed") // watched again, and not only read once
				until(t, w, text+" changed")
			}
		}},
		{"its directory exchanged", func(t *testing.T, dir, path string, w *Watcher) {
			must(t, os.Mkdir(dir+".new", 0o700))
			write(t, filepath.Join(dir+".new", "file"), "two")
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Rename(dir+".new", dir))
			until(t, w, "two")
			write(t, path, "three")
			until(t, w, "three")
		}},
		{"a refresh", func(t *testing.T, _, path string, w *Watcher) {
			write(t, path, "two")
			w.Refresh()
			until(t, w, "two")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			must(t, os.Mkdir(dir, 0o700))
			path := filepath.Join(dir, "file")
			write(t, path, "one")
			w := New(path, quick)
			defer w.Close()
			until(t, w, "one")
			tt.run(t, dir, path, w)
		})
	}
}

// TestKubernetesVolume swaps the data as the kubelet does: file -> ..data/file, ..data -> ..version.
func TestKubernetesVolume(t *testing.T) {
	dir := t.TempDir()
	publish := func(version int) string {
		text := fmt.Sprint("version ", version)
		name := fmt.Sprintf("..2026_%d", version)
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "file"), text)
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		if version > 0 {
			must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..2026_%d", version-1))))
		}
		return text
	}
	first := publish(0)
	must(t, os.Symlink(filepath.Join("..data", "file"), filepath.Join(dir, "file")))
	w := New(filepath.Join(dir, "file"), quick)
	defer w.Close()
	until(t, w, first)
	for version := 1; version < 5; version++ {
		until(t, w, publish(version))
	}
}

func TestMissingFromTheStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	path := filepath.Join(dir, "file")
	w := New(path, quick)
	defer w.Close()
	until(t, w, "")
	must(t, os.MkdirAll(dir, 0o700))
	write(t, path, "one")
	until(t, w, "one")
}

// fake is a system whose watches the test speaks for.
type fake struct {
	mu     sync.Mutex
	err    error
	tries  int
	open   int
	events chan fsnotify.Event
	errors chan error
}

func (f *fake) watch(string) (*notifier, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	if f.err != nil {
		return nil, f.err
	}
	f.open++
	return &notifier{events: f.events, errors: f.errors, close: func() { f.count(-1) }}, nil
}

// count returns how often a watch was tried, and how many are open, after adding to the latter.
func (f *fake) count(opened int) (tries, open int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += opened
	return f.tries, f.open
}

// contents are what Next returned.
type contents struct {
	mu  sync.Mutex
	all []string
}

func (c *contents) get() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// collect reads until w is closed.
func collect(w *Watcher) *contents {
	c := &contents{}
	go func() {
		for {
			s, err := w.Next(context.Background())
			if err != nil {
				return
			}
			c.mu.Lock()
			c.all = append(c.all, string(s.Data))
			c.mu.Unlock()
		}
	}()
	return c
}

func TestBurstIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		write(t, path, "0")
		f := &fake{events: make(chan fsnotify.Event), errors: make(chan error)}
		w := New(path, Options{Poll: time.Hour, watch: f.watch})
		got := collect(w)
		synctest.Wait()
		// Each write comes before the quiet that the last one began, for longer than a burst may last.
		for i := range 30 {
			write(t, path, fmt.Sprint(i+1))
			f.events <- fsnotify.Event{Name: path, Op: fsnotify.Write}
			time.Sleep(defaultDebounce - 1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if all := got.get(); len(all) != 4 || all[3] != "30" {
			t.Errorf("got %q, want the first, one for each 500 ms, and the last", all)
		}
		// What concerns another file is not looked at, and a change that was not told is seen in time.
		write(t, path, "quiet")
		f.events <- fsnotify.Event{Name: filepath.Join(dir, "other"), Op: fsnotify.Create}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(got.get()) != 4 {
			t.Errorf("got %q", got.get())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if all := got.get(); len(all) != 5 || all[4] != "quiet" {
			t.Errorf("got %q", got.get())
		}
		w.Close()
		if _, open := f.count(0); open != 0 {
			t.Errorf("%d watches are left open", open)
		}
	})
}

func TestWithoutWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "one")
		f := &fake{err: errors.New("too many open files"), events: make(chan fsnotify.Event), errors: make(chan error)}
		w := New(path, Options{Poll: 10 * time.Second, watch: f.watch})
		got := collect(w)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if tries, _ := f.count(0); tries < 60 || tries > 70 {
			t.Errorf("tried to watch %d times in ten minutes", tries)
		}
		write(t, path, "two")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(got.get()) != 2 {
			t.Errorf("got %q", got.get())
		}
		// A watch that breaks is made anew.
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before, _ := f.count(0)
		f.errors <- fsnotify.ErrEventOverflow
		write(t, path, "three")
		time.Sleep(time.Second)
		synctest.Wait()
		if tries, open := f.count(0); tries != before+1 || open != 1 || len(got.get()) != 3 {
			t.Errorf("%d tries more, %d open, got %q", tries-before, open, got.get())
		}
		w.Close()
	})
}

func TestClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, started := range []bool{false, true} {
		w := New(path, quick)
		if started {
			until(t, w, "")
		}
		ended := make(chan error, 1)
		if started {
			go func() { _, err := w.Next(context.Background()); ended <- err }()
		} else {
			ended <- ErrClosed
		}
		w.Close()
		w.Close()
		w.Refresh()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	write(t, big, "")
	must(t, os.Truncate(big, maxSize+1))
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"directory", dir, "is a directory"},
		{"device", os.DevNull, "no regular file"},
		{"too big", big, "more than 64 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s := read(tt.path); s.Err == nil || !strings.Contains(s.Err.Error(), tt.want) {
				t.Errorf("got %v, want %q", s.Err, tt.want)
			}
		})
	}
}
