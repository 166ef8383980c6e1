package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// follow watches from the position of the history on, until something fails.
func (f *feed) follow(ctx context.Context) error {
	s := f.backend.openWatch(ctx, &pb.WatchCreateRequest{
		Key: []byte(f.key), RangeEnd: []byte(f.end), StartRevision: f.history.position + 1, ProgressNotify: true,
	})
	defer s.close()
	created, err := s.next(f.backend.timeout)
	switch {
	case errors.Is(err, errSilent):
		err = noAnswer(f.backend.timeout)
	case err == nil:
		err = canceled(created)
	}
	if err != nil {
		return f.lost(err)
	}
	if err := f.verify(ctx); err != nil {
		return err
	}
	f.setStale(nil)
	began := time.Now()
	for {
		r, err := s.next(f.backend.silence / 2)
		if errors.Is(err, errSilent) {
			r, err = s.signOfLife(f.backend.silence / 2)
		}
		if err == nil && time.Since(began) >= f.backend.silence/2 {
			f.failures = 0 // the stream has lasted
		}
		if err == nil {
			err = f.take(r)
		}
		if err != nil {
			return f.lost(err)
		}
	}
}

// take takes over a response of the stream.
func (f *feed) take(r *pb.WatchResponse) error {
	if err := canceled(r); err != nil {
		return err
	}
	if id := r.Header.GetClusterId(); id != f.history.cluster {
		return &discontinuity{reason: "another cluster answers: the registry was replaced", replaced: true}
	}
	if len(r.Events) == 0 {
		f.history.progressed(r.Header.Revision)
		return nil
	}
	put, del, ok := f.history.apply(r.Events)
	if !ok {
		return &discontinuity{reason: "etcd sent changes out of order"}
	}
	f.deliver(change{put: put, del: del})
	return nil
}

func (f *feed) lost(err error) error {
	if _, broken := err.(*discontinuity); broken {
		return err
	}
	return f.backend.failed("watch", f.key, err)
}

// canceled is the error of a response by which etcd ends a watch.
func canceled(r *pb.WatchResponse) error {
	switch {
	case r.CompactRevision != 0:
		return &discontinuity{reason: "the revision that the watch had reached was compacted"}
	case r.Canceled && r.CancelReason != "":
		return errors.New(r.CancelReason)
	case r.Canceled:
		return errors.New("etcd ended the watch without a reason")
	}
	return nil
}

// errSilent is that nothing came in time.
var errSilent = errors.New("nothing was heard")

// watchStream is one stream with one watch. It is for one goroutine; its own one receives.
type watchStream struct {
	ctx       context.Context
	cancel    context.CancelFunc
	stream    pb.Watch_WatchClient // of the receiver until the first response
	responses chan watchResponse
	done      chan struct{}
}

type watchResponse struct {
	*pb.WatchResponse
	err error
}

// openWatch returns at once; what goes wrong comes as the error of the first response.
func (b *backend) openWatch(ctx context.Context, r *pb.WatchCreateRequest) *watchStream {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	s := &watchStream{ctx: ctx, cancel: cancel, responses: make(chan watchResponse), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		err := s.open(b, r)
		for err == nil {
			var response *pb.WatchResponse
			if response, err = s.stream.Recv(); err == nil && !s.hand(watchResponse{response, nil}) {
				return
			}
		}
		s.hand(watchResponse{nil, err})
	}()
	return s
}

func (s *watchStream) open(b *backend, r *pb.WatchCreateRequest) (err error) {
	if s.stream, err = pb.NewWatchClient(b.conn).Watch(s.ctx, b.options...); err != nil {
		return err
	}
	// A stream that is broken says why when it receives.
	_ = s.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	return nil
}

func (s *watchStream) hand(r watchResponse) bool {
	select {
	case s.responses <- r:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// next waits for the next response, and returns errSilent after d without one.
func (s *watchStream) next(d time.Duration) (*pb.WatchResponse, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case r := <-s.responses:
		return r.WatchResponse, r.err
	case <-t.C:
		return nil, errSilent
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// signOfLife asks for one, and returns whatever comes.
func (s *watchStream) signOfLife(d time.Duration) (*pb.WatchResponse, error) {
	// A stream that is broken says why when it receives.
	_ = s.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{},
	}})
	r, err := s.next(d)
	if errors.Is(err, errSilent) {
		err = noAnswer(d)
	}
	return r, err
}

func (s *watchStream) close() {
	s.cancel()
	<-s.done
}
