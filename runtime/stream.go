package goresilient

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/internal/deadline"
)

// open begins a stream, from the outermost layer in. The stream counts as running until it has ended, not only until it
// is open.
func (m *method) open(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	c := m.client
	if c.callStream != nil {
		return c.callStream(ctx, desc, c.grpc, fullName, m.openGoverned, opts...)
	}
	return m.openGoverned(ctx, desc, c.grpc, fullName, opts...)
}

// openGoverned is the stream within the interceptors. It is a [grpc.Streamer].
func (m *method) openGoverned(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c := m.client
	token, ok := c.calls.Begin()
	if !ok {
		return nil, ErrClosed
	}
	s := &stream{desc: desc}
	s.end = sync.OnceFunc(func() {
		if s.limited != nil {
			s.limited.Release()
		}
		c.calls.End(token)
	})
	opened := false
	defer func() { // an interceptor may panic
		if !opened {
			s.end()
		}
	}()
	p := m.plan.Load()
	if s.limited, s.cause = p.limit(ctx, fullName, opts); s.limited != nil {
		ctx = s.limited
	}
	opts = p.with(opts)
	told := c.grpc != nil && c.attemptStream == nil
	if told { // grpc tells of the end of each try; an interceptor may make several
		opts = append(slices.Clip(opts), grpc.OnFinish(func(error) { s.end() }))
	}
	under, err := c.streamer(ctx, desc, fullName, opts)
	if err != nil {
		return nil, s.named(err)
	}
	opened = true
	if told && s.limited == nil {
		return under, nil
	}
	s.ClientStream = under
	s.unwatch = context.AfterFunc(ctx, s.end)
	return s, nil
}

func (c *Client) streamer(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	if c.attemptStream != nil {
		return c.attemptStream(ctx, desc, c.grpc, fullName, c.newStream, opts...)
	}
	return c.conn.NewStream(ctx, desc, fullName, opts...)
}

// newStream is a [grpc.Streamer].
func (c *Client) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.conn.NewStream(ctx, desc, fullName, opts...)
}

// stream names the deadline that struck, and sees the end of a stream where grpc does not tell of it: behind an interceptor,
// or on a connection that is not grpc's. The end is then an error of RecvMsg, the only message of a stream that gets one,
// or the end of the context. It never asks the stream for its context, which would end grpc's replay.
type stream struct {
	grpc.ClientStream
	desc    *grpc.StreamDesc
	end     func() // once
	unwatch func() bool
	limited *deadline.Context // nil without a deadline of its own
	cause   *DeadlineError
}

// RecvMsg implements [grpc.ClientStream].
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && s.desc.ServerStreams {
		return nil
	}
	err = s.named(err)
	s.unwatch()
	s.end()
	return err
}

// SendMsg implements [grpc.ClientStream].
func (s *stream) SendMsg(m any) error { return s.named(s.ClientStream.SendMsg(m)) }

// Header implements [grpc.ClientStream].
func (s *stream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.named(err)
}

func (s *stream) named(err error) error {
	if s.limited == nil {
		return err
	}
	return told(err, s.limited, s.cause)
}
