package etcd

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

func header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 1, Revision: revision}
}

func pair(key string, revision int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), CreateRevision: revision, ModRevision: revision, Version: 1}
}

func putEvent(key string, revision int64) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: pair(key, revision)}
}

func deleteEvent(key string, revision int64) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: pair(key, revision)}
}

func names(kvs []*mvccpb.KeyValue) (names []string) {
	for _, kv := range kvs {
		names = append(names, string(kv.Key))
	}
	return names
}

func TestHistoryComesToWhatItIsLast(t *testing.T) {
	var h history
	h.load(header(10), []*mvccpb.KeyValue{pair("a", 3), pair("b", 4)}, false)
	put, del, ok := h.apply([]*mvccpb.Event{
		putEvent("c", 11), deleteEvent("a", 12), putEvent("d", 12), deleteEvent("d", 13), deleteEvent("b", 14), putEvent("b", 15),
	})
	if !ok || !slices.Equal(names(put), []string{"c", "b"}) || !slices.Equal(del, []string{"a", "d"}) {
		t.Errorf("put %v, delete %v, %v", names(put), del, ok)
	}
	if got := names(h.all()); !slices.Equal(got, []string{"c", "b"}) || h.told != 15 {
		t.Errorf("it knows %v at %d", got, h.told)
	}
	h.load(header(20), []*mvccpb.KeyValue{pair("a", 16), pair("b", 15), pair("c", 11)}, false)
	if got := names(h.all()); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("after a snapshot the order is %v, want what was known first", got)
	}
}

func TestHistoryRefusesWhatIsNotNew(t *testing.T) {
	for _, events := range [][]*mvccpb.Event{{putEvent("a", 10)}, {putEvent("a", 12), putEvent("b", 11)}} {
		var h history
		h.load(header(10), nil, false)
		if _, _, ok := h.apply(events); ok {
			t.Errorf("after revision 10 it takes %v", events)
		}
	}
}

func TestRevisionNeverGoesBack(t *testing.T) {
	tests := []struct {
		name     string
		revision int64 // of the snapshot after one at 100
		replaced bool
		want     int64
	}{
		{"later", 120, false, 120},
		{"the same", 100, false, 100},
		{"lower", 5, true, 101},
		{"replaced at the same", 100, true, 101},
		{"replaced by a higher one", 300, true, 300},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h history
			h.load(header(100), nil, false)
			h.load(header(tt.revision), nil, tt.replaced)
			if h.told != tt.want {
				t.Errorf("told %d, want %d", h.told, tt.want)
			}
			h.apply([]*mvccpb.Event{putEvent("a", tt.revision+1)})
			if h.told != tt.want+1 {
				t.Errorf("then told %d, want %d", h.told, tt.want+1)
			}
		})
	}
}

func TestHistoryMatches(t *testing.T) {
	var h history
	h.load(header(10), []*mvccpb.KeyValue{pair("a", 3), pair("b", 4)}, false)
	leased := pair("b", 4)
	leased.Lease = 7
	other := header(10)
	other.ClusterId = 2
	tests := []struct {
		name string
		read *pb.RangeResponse
		want bool
	}{
		{"the same", &pb.RangeResponse{Header: header(10), Count: 2, Kvs: []*mvccpb.KeyValue{pair("b", 4)}}, true},
		{"another cluster", &pb.RangeResponse{Header: other, Count: 2, Kvs: []*mvccpb.KeyValue{pair("b", 4)}}, false},
		{"fewer keys", &pb.RangeResponse{Header: header(10), Count: 1, Kvs: []*mvccpb.KeyValue{pair("b", 4)}}, false},
		{"no keys", &pb.RangeResponse{Header: header(10)}, false},
		{"another lease", &pb.RangeResponse{Header: header(10), Count: 2, Kvs: []*mvccpb.KeyValue{leased}}, false},
		{"another key", &pb.RangeResponse{Header: header(10), Count: 2, Kvs: []*mvccpb.KeyValue{pair("c", 5)}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.matches(tt.read); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
