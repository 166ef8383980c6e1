package etcd_test

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/test/etcd/etcdserverpb/etcdserverpbresilient"
)

// watcher collects every event of a range of keys. When its stream breaks it opens another, after the last revision that it
// has seen.
type watcher struct {
	client   *etcdserverpbresilient.WatchResilientClient
	progress *progress
	// events is for its reader once run has returned.
	events []*mvccpb.Event
}

// createWatch asks for the events of the keys in [key, end) from a revision on.
func createWatch(key, end string, revision int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(key), RangeEnd: []byte(end), StartRevision: revision,
	}}}
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	next := int64(1)
	for {
		err := w.follow(ctx, &next)
		switch {
		case ctx.Err() != nil:
			return nil
		case status.Code(err) == codes.Unavailable:
		default:
			return fmt.Errorf("watch from revision %d: %w", next, err)
		}
	}
}

// follow watches until the stream breaks. It keeps next after the last revision seen.
func (w *watcher) follow(ctx context.Context, next *int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.Watch(ctx)
	if err != nil {
		return err
	}
	// An error of Send is io.EOF; Recv tells what it was.
	_ = stream.Send(createWatch(prefix, prefixEnd, *next))
	for {
		resp, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case resp.Canceled:
			return fmt.Errorf("etcd gave the watch up: %s (compact revision %d)", resp.CancelReason, resp.CompactRevision)
		case resp.Created:
			w.progress.note(func(c *counts) { c.watches++ })
		case len(resp.Events) > 0:
			w.events = append(w.events, resp.Events...)
			last := resp.Events[len(resp.Events)-1].Kv.ModRevision
			*next = last + 1
			w.progress.note(func(c *counts) { c.seen = last })
		}
	}
}
