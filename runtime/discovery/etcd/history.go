package etcd

import (
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// history is what a feed knows of a range of keys: their values at one revision of one cluster.
type history struct {
	cluster  uint64
	position int64 // the revision up to which keys is complete
	keys     map[string]*known
	sequence int // of the key that came last

	offset int64 // of the feed's revisions from etcd's
	told   int64 // the feed's last revision
}

type known struct {
	kv       *mvccpb.KeyValue
	sequence int
}

// load takes over a snapshot. Keys that were there keep their places. replaced says that it is not of the history before.
func (h *history) load(header *pb.ResponseHeader, kvs []*mvccpb.KeyValue, replaced bool) {
	old := h.keys
	h.keys = make(map[string]*known, len(kvs))
	for _, kv := range kvs {
		key := string(kv.Key)
		if k := old[key]; k != nil {
			h.keys[key] = &known{kv, k.sequence}
			continue
		}
		h.sequence++
		h.keys[key] = &known{kv, h.sequence}
	}
	h.cluster, h.position = header.ClusterId, header.Revision
	if next := h.offset + header.Revision; next < h.told || replaced && next == h.told {
		h.offset = h.told + 1 - header.Revision
	}
	h.told = h.offset + header.Revision
}

// all are the keys in the order in which they came.
func (h *history) all() []*mvccpb.KeyValue {
	sorted := slices.SortedFunc(maps.Values(h.keys), func(a, b *known) int { return cmp.Compare(a.sequence, b.sequence) })
	kvs := make([]*mvccpb.KeyValue, len(sorted))
	for i, k := range sorted {
		kvs[i] = k.kv
	}
	return kvs
}

// apply takes over events, which are in the order of their revisions, and returns what they come to. It reports false for
// events that are not new: etcd has then broken its own order.
func (h *history) apply(events []*mvccpb.Event) (put []*mvccpb.KeyValue, del []string, ok bool) {
	touched := make(map[string]bool, len(events))
	var order []string
	last := h.position
	for _, e := range events {
		if e.Kv.ModRevision <= h.position || e.Kv.ModRevision < last {
			return nil, nil, false
		}
		last = e.Kv.ModRevision
		key := string(e.Kv.Key)
		if !touched[key] {
			touched[key] = true
			order = append(order, key)
		}
		h.set(key, e)
	}
	for _, key := range order {
		if k := h.keys[key]; k != nil {
			put = append(put, k.kv)
		} else {
			del = append(del, key)
		}
	}
	h.position = last
	h.told = h.offset + last
	return put, del, true
}

func (h *history) set(key string, e *mvccpb.Event) {
	k := h.keys[key]
	switch {
	case e.Type == mvccpb.Event_DELETE:
		delete(h.keys, key)
	case k != nil:
		k.kv = e.Kv
	default:
		h.sequence++
		h.keys[key] = &known{e.Kv, h.sequence}
	}
}

// progressed notes that there were no events up to revision.
func (h *history) progressed(revision int64) { h.position = max(h.position, revision) }

// matches reports whether r, which was read at position, newest key first, is of this history. Only a history that has as
// many keys at that revision, and the same newest one, with its lease and all its revisions, could be mistaken for it.
func (h *history) matches(r *pb.RangeResponse) bool {
	if r.Header.ClusterId != h.cluster || r.Count != int64(len(h.keys)) {
		return false
	}
	if len(r.Kvs) == 0 {
		return len(h.keys) == 0
	}
	newest := r.Kvs[0]
	k := h.keys[string(newest.Key)]
	return k != nil && proto.Equal(k.kv, newest)
}
