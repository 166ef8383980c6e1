package discovery

import (
	"context"
	"slices"
	"time"
)

// dnsWatcher looks up within Next; it has no goroutine of its own. What is not explained is of the goroutine that calls
// Next.
type dnsWatcher struct {
	source *dnsSource
	life   context.Context // ends with Close
	end    context.CancelFunc
	again  chan struct{} // holds one request to look up now

	looked   bool
	last     time.Time // end of the last lookup
	next     time.Time // when it is due again
	revision int64     // 0 before the first answer
	known    []Entry   // in the order of the set
	unwell   bool      // the last event or error said so
	hosts    srvHosts
}

// Next implements [Watcher].
func (w *dnsWatcher) Next(ctx context.Context) (Event, error) {
	for {
		if err := w.wait(ctx); err != nil {
			return Event{}, err
		}
		ev, news, err := w.look(ctx)
		if err != nil || news {
			return ev, err
		}
	}
}

// Refresh implements [Watcher].
func (w *dnsWatcher) Refresh() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// Close implements [Watcher]. A lookup that is under way is given up.
func (w *dnsWatcher) Close() { w.end() }

// wait returns nil when it is time to look up.
func (w *dnsWatcher) wait(ctx context.Context) error {
	timer := time.NewTimer(w.due())
	defer timer.Stop()
	again := w.again
	for {
		if err := w.over(ctx); err != nil {
			return err
		}
		select {
		case <-w.life.Done():
		case <-ctx.Done():
		case <-timer.C:
			return nil
		case <-again:
			again = nil
			if w.looked {
				w.next = earlier(w.next, w.last.Add(w.source.pause))
			}
			timer.Reset(w.due())
		}
	}
}

// due is the time until the next lookup.
func (w *dnsWatcher) due() time.Duration {
	if !w.looked {
		return 0
	}
	return max(time.Until(w.next), 0)
}

// over returns why no event will come, if so.
func (w *dnsWatcher) over(ctx context.Context) error {
	if w.life.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// look looks up once and reports whether that is an event.
func (w *dnsWatcher) look(ctx context.Context) (ev Event, news bool, err error) {
	select {
	case <-w.again: // this is the answer to it
	default:
	}
	lookup, cancel := context.WithTimeout(ctx, w.source.timeout)
	defer cancel()
	defer context.AfterFunc(w.life, cancel)()
	found, stale, err := w.source.lookup(lookup, &w.hosts)
	if over := w.over(ctx); over != nil {
		return Event{}, false, over // next is as it was: the lookup is made again
	}
	w.looked, w.last = true, time.Now()
	if err != nil {
		// The caller pauses before the next try.
		w.next, w.unwell = w.last.Add(w.source.pause), true
		return Event{}, false, err
	}
	w.next = w.last.Add(max(w.source.interval(), w.source.pause))
	wasUnwell := w.unwell
	w.unwell = stale != nil
	ev, changed := w.event(found)
	ev.Stale = stale
	return ev, changed || wasUnwell || w.unwell, nil
}

// event is what found says that is not known yet. What is known keeps its place: servers of DNS turn the order with each
// answer.
func (w *dnsWatcher) event(found []Entry) (ev Event, changed bool) {
	if w.revision == 0 {
		w.revision, w.known = 1, found
		return Event{Revision: 1, Reset: true, Put: found}, true
	}
	now := make(map[string]Endpoint, len(found))
	for _, e := range found {
		now[e.Key] = e.Endpoint
	}
	known := make([]Entry, 0, len(found))
	for _, old := range w.known {
		endpoint, there := now[old.Key]
		delete(now, old.Key)
		switch {
		case !there:
			ev.Delete = append(ev.Delete, old.Key)
			continue
		case !endpoint.Equal(old.Endpoint):
			old.Endpoint = endpoint
			ev.Put = append(ev.Put, old)
		}
		known = append(known, old)
	}
	for _, e := range found {
		if _, added := now[e.Key]; added {
			ev.Put = append(ev.Put, e)
			known = append(known, e)
		}
	}
	if changed = len(ev.Put)+len(ev.Delete) > 0; changed {
		w.revision++
	}
	w.known = slices.Clip(known)
	ev.Revision = w.revision
	return ev, changed
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
