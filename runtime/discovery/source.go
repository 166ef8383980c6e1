package discovery

import (
	"context"
	"errors"
)

// ErrClosed is what [Watcher.Next] returns once the watcher is closed.
var ErrClosed = errors.New("discovery: the watcher is closed")

// Source is where the endpoints of one target come from, with the semantics of an etcd watch: a snapshot at a
// revision, then ordered changes after it, with nothing missed and nothing seen twice. It may be used by many
// goroutines at once.
//
// A source holds nothing that would have to be released until somebody watches it.
type Source interface {
	// Watch begins a watch that is independent of all others. It does no I/O and never blocks: the first call of Next
	// does, or a goroutine of the watcher. The caller closes the watcher.
	Watch() Watcher
}

// Watcher is one reader of a [Source]. Next is for one goroutine at a time; Refresh and Close may be called by any,
// at any moment, and while Next waits.
type Watcher interface {
	// Next waits for the next event and returns it. The first event is a Reset; those after it are changes, in the order
	// of their revisions, or another Reset where the watcher fell behind, was compacted, or cannot tell what it missed.
	//
	// An error is the state of the backend and not the end of the watch: nothing is lost, and the caller calls Next
	// again after a pause of its own. When it is well again the source says so by an event, which may be empty. An error
	// for which [IsPermanent] holds will not go away before somebody changes the configuration. When ctx ends, Next
	// returns its error, and the next call goes on where this one stood. After Close it returns [ErrClosed].
	Next(ctx context.Context) (Event, error)
	// Refresh asks the source to look again now, where it does not see changes by itself. It never blocks, it is a hint,
	// and it does nothing after Close.
	Refresh()
	// Close ends the watch, releases all that it held, makes a waiting Next return, and waits for the watcher's own
	// goroutines. It may be called more than once.
	Close()
}

// Buffered is implemented by watchers that may hold several events already. A resolver reads them all before it pushes a
// state: a thousand registrations at once are then one update and not a thousand.
type Buffered interface {
	// Pending reports whether Next would return without waiting. It never blocks, and is for the goroutine that calls
	// Next.
	Pending() bool
}

// Event is what happened between two revisions, as a whole: a reader sees all of it or nothing.
type Event struct {
	// Revision is the source's after the event. It is greater than that of the event before when the event changes
	// anything, and never smaller.
	Revision int64
	// Reset makes Put the whole set: whatever it does not list is gone. Its order is the order of the set.
	Reset bool
	// Put are new entries, and new values of entries seen before. A new entry goes to the end of the set; one seen
	// before keeps its place. A key occurs once.
	Put []Entry
	// Delete are the keys that are gone, without those in Put. It is empty in a Reset.
	Delete []string
	// Stale is why the set may be out of date although it is still served, e.g., a lost backend; nil if it is fresh.
	Stale error
}

// Entry is an endpoint under the key by which its source knows it, e.g., "inventory/10.0.0.7:443" in etcd. Several
// keys may name one endpoint: the first in the order of the set counts.
type Entry struct {
	Key string
	// Endpoint is not changed by anybody after it was handed out. One without addresses counts as absent, and a weight
	// of 0 as 1.
	Endpoint Endpoint
}
