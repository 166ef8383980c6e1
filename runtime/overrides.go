package goresilient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Overrides is a policy document that changes while clients run. A change is in force for the next call of every client that
// was made with [WithOverrides]; no connection is dropped for it. Many clients share one.
//
//	overrides := goresilient.NewOverrides()
//	client, err := inventoryv1.NewInventoryServiceResilientClient(goresilient.WithOverrides(overrides))
//	…
//	err = overrides.Set("console", []byte("version: goresilient.v1\n…"))
//
// It wins over Go options, and the environment wins over it. It holds no resources and need not be closed.
type Overrides struct {
	onChange func(OverridesStatus)

	// mu serialises documents, and guards what follows.
	mu      sync.Mutex
	doc     *policy.Document // in force; nil for none
	status  OverridesStatus
	clients map[*Client]struct{}
}

// OverridesStatus is what became of the documents given to an [Overrides].
type OverridesStatus struct {
	// Version identifies the document in force: the first 12 hexadecimal digits of its SHA-256. "" for none.
	Version string
	// Source is where it came from, e.g., a file.
	Source string
	// Problems is what is wrong with the last document, if it was refused; the one before it stays in force.
	Problems policy.Problems
	// Notes is what was not taken over from the document in force: a service that no client calls, a field that is fixed when
	// a client is made and waits for the next start, a field of the channel for a client with [WithConn], everything for a
	// client that was made later and cannot take it. Where documents for two clients of one channel disagree about it, the
	// client that was made last wins, and the document that came last has the note.
	Notes policy.Problems
}

// OverridesOption changes how an [Overrides] is made.
type OverridesOption interface{ applyTo(*Overrides) }

type overridesOption func(*Overrides)

func (o overridesOption) applyTo(ov *Overrides) { o(ov) }

// OnOverrides has f called after each document, in order, whether it was taken or refused, and when a client that is made
// later adds to the notes. It must not call the Overrides
// and should return soon.
func OnOverrides(f func(OverridesStatus)) OverridesOption {
	return overridesOption(func(o *Overrides) { o.onChange = f })
}

// NewOverrides returns an Overrides without a document.
func NewOverrides(opts ...OverridesOption) *Overrides {
	o := &Overrides{clients: make(map[*Client]struct{})}
	for _, opt := range opts {
		opt.applyTo(o)
	}
	return o
}

// WithOverrides makes the client follow o.
func WithOverrides(o *Overrides) Option {
	return optionFunc(func(s *Settings) {
		if o == nil {
			s.fail("WithOverrides(nil) gives nothing to follow; make one with NewOverrides")
			return
		}
		s.overrides = o
	})
}

// Set puts a PolicyDocument, in YAML or JSON, in force in place of the one before; source names it in problems. The error
// is a [policy.Problems] with everything that is wrong, for any of the clients; the one before stays in force then. Putting
// an old document back undoes a change.
func (o *Overrides) Set(source string, document []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	doc, err := policy.ParseDocument(source, document)
	var problems policy.Problems
	if !errors.As(err, &problems) {
		problems = doc.CheckOverride()
		for _, c := range o.ordered() {
			problems = withNew(problems, c.checkOverride(doc))
		}
	}
	if len(problems) > 0 {
		o.status.Problems = problems
		o.tell()
		return problems
	}
	sum := sha256.Sum256(document)
	o.put(doc, OverridesStatus{Version: hex.EncodeToString(sum[:6]), Source: source})
	return nil
}

// Clear takes the document away.
func (o *Overrides) Clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(nil, OverridesStatus{})
}

// Status returns what is in force, and what is wrong.
func (o *Overrides) Status() OverridesStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.status.clone()
}

func (s OverridesStatus) clone() OverridesStatus {
	s.Problems, s.Notes = slices.Clone(s.Problems), slices.Clone(s.Notes)
	return s
}

// put makes a checked document, or none, the one in force; o.mu is held.
func (o *Overrides) put(doc *policy.Document, status OverridesStatus) {
	o.doc, o.status = doc, status
	clients := o.ordered()
	for _, c := range clients {
		o.note(c.follow(doc, status.Version))
	}
	for _, c := range clients { // when all have followed
		o.note(c.unheeded())
	}
	if doc != nil {
		o.status.Notes = append(o.status.Notes, o.unused(doc)...)
	}
	o.tell()
}

// note adds notes to the status.
func (o *Overrides) note(notes policy.Problems) { o.status.Notes = withNew(o.status.Notes, notes) }

// withNew appends to list what it has not yet: clients of one service report the same.
func withNew(list, more policy.Problems) policy.Problems {
	for _, p := range more {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// unused reports the services of doc that no client calls.
func (o *Overrides) unused(doc *policy.Document) policy.Problems {
	called := make(map[string]bool)
	for c := range o.clients {
		called[c.desc.Name] = true
	}
	var notes policy.Problems
	for name := range doc.Services {
		if !called[name] {
			notes = append(notes, policy.Problem{Path: "services." + name, Text: "no client of this process calls this service; is the name right?"})
		}
	}
	slices.SortFunc(notes, func(a, b policy.Problem) int { return strings.Compare(a.Path, b.Path) })
	return doc.At("", notes)
}

func (o *Overrides) tell() {
	if o.onChange != nil {
		o.onChange(o.status.clone())
	}
}

// current returns the document in force and its version.
func (o *Overrides) current() (*policy.Document, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.doc, o.status.Version
}

// attach makes o tell c of documents. c was made under the given version; what has changed since is made up for.
func (o *Overrides) attach(c *Client, version string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients[c] = struct{}{}
	known := len(o.status.Notes)
	if version != o.status.Version {
		if o.doc != nil {
			if ps := c.checkOverride(o.doc); len(ps) > 0 {
				o.note(ps)
				o.tell()
				return
			}
		}
		o.note(c.follow(o.doc, o.status.Version))
	}
	o.note(c.unheeded())
	if len(o.status.Notes) > known {
		o.tell()
	}
}

func (o *Overrides) detach(c *Client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.clients, c)
}

// ordered returns the clients in the order of their services, so that problems come in a stable order.
func (o *Overrides) ordered() []*Client {
	list := make([]*Client, 0, len(o.clients))
	for c := range o.clients {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Client) int { return strings.Compare(a.desc.Name, b.desc.Name) })
	return list
}

// A DocumentSource yields the documents of a place that is watched: a file, a key of a registry.
type DocumentSource interface {
	// Next waits for the next document: first the one that is there, then each change, of which some may be skipped as long
	// as the last is not. nil says that there is none. An error is a state of the place; Next is called again after it.
	Next(ctx context.Context) (source string, document []byte, err error)
}

// Follow puts each document of src in force until ctx ends or src is closed, and returns the context's error or
// [discovery.ErrClosed]: run it in a goroutine of its own. A document that is refused, and an error of src, are told to the
// function of [OnOverrides], and what was in force stays. src, which Follow does not close, should pace its errors.
func (o *Overrides) Follow(ctx context.Context, src DocumentSource) error {
	for {
		source, document, err := src.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, discovery.ErrClosed):
			return err
		case err != nil:
			o.failed(source, err)
		case document == nil:
			o.Clear()
		default:
			_ = o.Set(source, document) // its problems are in the status
		}
	}
}

func (o *Overrides) failed(source string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.Problems = policy.Problems{{Source: source, Text: err.Error()}}
	o.tell()
}
