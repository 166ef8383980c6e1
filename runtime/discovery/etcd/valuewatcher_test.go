package etcd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/discovery"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// valueReader reads from a ValueWatcher.
type valueReader struct {
	t        *testing.T
	watcher  *ValueWatcher
	revision int64
}

func readValue(t *testing.T, w *ValueWatcher) *valueReader {
	t.Cleanup(w.Close)
	return &valueReader{t: t, watcher: w}
}

// until reads until the value is data; "" is for a key that is not there.
func (r *valueReader) until(data string) discovery.Value {
	r.t.Helper()
	ctx := within(r.t)
	for {
		v, err := r.watcher.Next(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, discovery.ErrClosed):
			r.t.Fatalf("%q did not come: %v", data, err)
		case err != nil:
			time.Sleep(time.Millisecond)
			continue
		case v.Revision < r.revision:
			r.t.Errorf("revision %d came after %d", v.Revision, r.revision)
		}
		r.revision = v.Revision
		if string(v.Data) == data && v.Exists == (data != "") {
			return v
		}
	}
}

func (r *valueReader) untilError() {
	r.t.Helper()
	ctx := within(r.t)
	for {
		if _, err := r.watcher.Next(ctx); err != nil {
			if ctx.Err() != nil {
				r.t.Fatal("no error came")
			}
			return
		}
	}
}

func TestWatchValue(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := connect(t, s.address())
	set := func(data string) int64 {
		t.Helper()
		r, err := client.Put(within(t), "prod/policy", data)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	registry := New(client, impatient(WithPrefix("prod/"))...)
	r := readValue(t, registry.WatchValue("policy"))
	r.until("")
	revision := set("one")
	if v := r.until("one"); v.Revision != revision {
		t.Errorf("the revision is %d, want %d", v.Revision, revision)
	}
	if _, err := client.Put(within(t), "prod/policy2", "another key"); err != nil {
		t.Fatal(err)
	}
	set("two")
	r.until("two")
	if v := readValue(t, registry.WatchValue("policy")).until("two"); v.Revision != r.revision {
		t.Errorf("a later watcher reads revision %d, want %d", v.Revision, r.revision)
	}
	del(t, client, "prod/policy")
	r.until("")
	set("three")
	r.until("three")

	s.stop()
	r.untilError()
	s.start()
	r.until("three") // again, since all is well again
	s.wipe()
	s.start()
	r.until("")
	before := r.revision
	set("four")
	if r.until("four"); r.revision <= before {
		t.Errorf("the revision went from %d to %d", before, r.revision)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.watcher.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the error of the context", err)
	}
	r.watcher.Close()
	if _, err := r.watcher.Next(within(t)); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// TestValueOfAnEmptyKey tells an empty value from none.
func TestValueOfAnEmptyKey(t *testing.T) {
	t.Parallel()
	client := connect(t, startServer(t).address())
	if _, err := clientv3.NewKV(client).Put(within(t), "policy", ""); err != nil {
		t.Fatal(err)
	}
	r := readValue(t, New(client, impatient()...).WatchValue("policy"))
	if v, err := r.watcher.Next(within(t)); err != nil || !v.Exists || len(v.Data) != 0 {
		t.Errorf("got %+v, %v, want an empty value", v, err)
	}
}
