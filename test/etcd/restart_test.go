package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/goresilient/goresilient/test/etcd/etcdserverpb/etcdserverpbresilient"
)

// Keys that the test writes: all below prefix.
const (
	prefix    = "written/"
	prefixEnd = "written0" // '0' follows '/'
)

const (
	writers = 4
	// between is how many writes etcd acknowledges before it is stopped.
	between = 500
)

// moved tells whether there have been enough writes since a moment, and another watch.
func (since counts) moved(c counts) bool {
	return c.acknowledged >= since.acknowledged+between && c.watches > since.watches
}

// TestRestarts stops and starts etcd under the clients of two services, over one channel, while writers write and a
// watcher watches. Every write that etcd has acknowledged is there in the end, and the watcher has seen each revision once,
// in order.
func TestRestarts(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())
	defer time.AfterFunc(2*time.Minute, func() { fail(errors.New("the test takes too long")) }).Stop()
	s := startServer(t)
	ch := newChannel(t, s)
	kv := newClient(t, ch, etcdserverpbresilient.NewKVResilientClient)
	load := startLoad(t, ctx, fail, kv, newClient(t, ch, etcdserverpbresilient.NewWatchResilientClient))

	var since counts
	for _, stop := range []func(){s.crash, s.drain, s.crash, s.drain, s.crash} {
		load.progress.await(t, ctx, "writes and a watch", since.moved)
		stop()
		without, _ := load.progress.now()
		load.progress.await(t, ctx, "writers without etcd to time out", func(c counts) bool {
			return c.timedOut >= without.timedOut+writers
		})
		s.crash() // what a drain has left
		since, _ = load.progress.now()
		s.start(t)
	}
	load.progress.await(t, ctx, "writes and a watch", since.moved)
	written := load.stopWriting(t)
	stored, revision := read(t, ctx, kv)
	load.progress.await(t, ctx, "the watcher to have seen everything", func(c counts) bool { return c.seen >= revision })
	events := load.stopWatching(t)

	checkHistory(t, events, revision)
	for _, w := range written {
		if kv, ok := stored[w.key]; !ok || string(kv.Value) != w.value {
			t.Errorf("%s was acknowledged as %q at revision %d; etcd has %v", w.key, w.value, w.revision, kv)
		}
		if e := at(events, w.revision); e == nil || string(e.Kv.Key) != w.key || string(e.Kv.Value) != w.value {
			t.Errorf("%s was acknowledged as %q at revision %d; the watcher saw %v", w.key, w.value, w.revision, e)
		}
	}
	c, _ := load.progress.now()
	t.Logf("%d writes acknowledged, %d attempts timed out, %d broke off, %d revisions seen on %d watches",
		c.acknowledged, c.timedOut, c.broken, len(events), c.watches)
}

// load is the writers and the watcher, running.
type load struct {
	progress *progress
	stopped  atomic.Bool // writers end
	writers  []*writer
	writing  sync.WaitGroup
	watcher  *watcher
	watching sync.WaitGroup
	cancel   context.CancelFunc // of the watcher
}

// startLoad begins to write and to watch until the test ends. It calls fail with an error that must not be.
func startLoad(t *testing.T, ctx context.Context, fail context.CancelCauseFunc,
	kv *etcdserverpbresilient.KVResilientClient, watch *etcdserverpbresilient.WatchResilientClient,
) *load {
	l := &load{progress: newProgress()}
	ctx, l.cancel = context.WithCancel(ctx)
	l.watcher = &watcher{client: watch, progress: l.progress}
	l.watching.Go(func() {
		if err := l.watcher.run(ctx); err != nil {
			fail(err)
		}
	})
	for i := range writers {
		w := &writer{client: kv, progress: l.progress, name: fmt.Sprintf("writer-%d", i)}
		l.writers = append(l.writers, w)
		l.writing.Go(func() {
			if err := w.run(ctx, &l.stopped); err != nil {
				fail(err)
			}
		})
	}
	t.Cleanup(func() {
		l.cancel()
		l.writing.Wait()
		l.watching.Wait()
	})
	return l
}

// stopWriting returns the acknowledged writes: all that were begun, since each is repeated until it is.
func (l *load) stopWriting(t *testing.T) []write {
	t.Helper()
	l.stopped.Store(true)
	l.writing.Wait()
	var all []write
	for _, w := range l.writers {
		all = append(all, w.written...)
	}
	if c, _ := l.progress.now(); len(all) != c.acknowledged {
		t.Errorf("%d writes were acknowledged, and %d recorded", c.acknowledged, len(all))
	}
	return all
}

func (l *load) stopWatching(t *testing.T) []*mvccpb.Event {
	t.Helper()
	l.cancel()
	l.watching.Wait()
	return l.watcher.events
}

// read returns what etcd has, by key, and its revision.
func read(t *testing.T, ctx context.Context, kv *etcdserverpbresilient.KVResilientClient) (
	stored map[string]*mvccpb.KeyValue, revision int64,
) {
	t.Helper()
	resp, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(prefix), RangeEnd: []byte(prefixEnd)})
	if err != nil {
		t.Fatal(err)
	}
	stored = make(map[string]*mvccpb.KeyValue)
	for _, kv := range resp.Kvs {
		stored[string(kv.Key)] = kv
	}
	return stored, resp.Header.Revision
}

// firstRevision is that of the first write to an empty etcd.
const firstRevision = 2

// checkHistory: nobody but the writers writes, so that the history has one put at each revision.
func checkHistory(t *testing.T, events []*mvccpb.Event, last int64) {
	t.Helper()
	for i, e := range events {
		if want := int64(firstRevision + i); e.Kv.ModRevision != want || e.Type != mvccpb.Event_PUT {
			t.Fatalf("event %d is %v, want a put at revision %d", i, e, want)
		}
	}
	if got := int64(len(events)); got != last-firstRevision+1 {
		t.Errorf("the watcher saw %d events, etcd is at revision %d", got, last)
	}
}

// at returns the event of a revision in a history without gaps; nil if there is none.
func at(events []*mvccpb.Event, revision int64) *mvccpb.Event {
	i := revision - firstRevision
	if i < 0 || i >= int64(len(events)) {
		return nil
	}
	return events[i]
}
