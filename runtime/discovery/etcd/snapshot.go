package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// snapshot reads all keys. The reads are linearizable, so a set is never older than one seen before, whichever member
// answers. A reader that has nothing yet is better served by what a member knows that has lost the others.
func (f *feed) snapshot(ctx context.Context) error {
	header, kvs, err := f.read(ctx, false)
	if err == nil {
		f.history.load(header, kvs, f.replaced)
		f.continuous, f.replaced = true, false
		f.reset(nil)
		return nil
	}
	err = f.backend.failed("read", f.key, err)
	if !f.loaded && isOutage(err) {
		if header, kvs, serializable := f.read(ctx, true); serializable == nil {
			f.history.load(header, kvs, false)
			f.reset(err)
		}
	}
	return err
}

// read reads all pages at the revision of the first.
func (f *feed) read(ctx context.Context, serializable bool) (*pb.ResponseHeader, []*mvccpb.KeyValue, error) {
	request := &pb.RangeRequest{
		Key: []byte(f.key), RangeEnd: []byte(f.end), Limit: f.backend.pageSize, Serializable: serializable,
	}
	page, err := f.backend.rangeKeys(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	header, kvs := page.Header, page.Kvs
	for page.More && len(page.Kvs) > 0 {
		request.Revision = header.Revision
		request.Key = append([]byte(string(page.Kvs[len(page.Kvs)-1].Key)), 0)
		if page, err = f.backend.rangeKeys(ctx, request); err != nil {
			return nil, nil, err
		}
		kvs = append(kvs, page.Kvs...)
	}
	return header, kvs, nil
}

// verify makes sure that etcd still has the history that the feed is about to go on from. It is called once the stream
// stands: whatever replaces the registry after that breaks the stream.
func (f *feed) verify(ctx context.Context) error {
	r, err := f.backend.rangeKeys(ctx, &pb.RangeRequest{
		Key: []byte(f.key), RangeEnd: []byte(f.end), Revision: f.history.position,
		SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND, Limit: 1,
	})
	switch {
	case isError(err, rpctypes.ErrGRPCCompacted):
		return &discontinuity{reason: "the revision that the watch had reached was compacted"}
	case isError(err, rpctypes.ErrGRPCFutureRev):
		return &discontinuity{reason: "the revision of etcd went back: the registry was replaced", replaced: true}
	case err != nil:
		return f.backend.failed("read", f.key, err)
	case !f.history.matches(r):
		return &discontinuity{reason: "etcd has another history: the registry was replaced", replaced: true}
	}
	return nil
}
