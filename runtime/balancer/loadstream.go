package balancer

import (
	"context"
	"encoding/binary"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// loadMethod streams reports (gRFC A51).
const loadMethod = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"

// loadStream asks one connection for reports outside of calls. It is a producer: grpc ends it when the connection is
// not READY any more, and it must be made anew when it is.
type loadStream struct {
	ch     *Channel
	to     *reports
	period time.Duration
}

// Build implements [balancer.ProducerBuilder].
func (l *loadStream) Build(conn any) (balancer.Producer, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go l.run(ctx, conn.(grpc.ClientConnInterface))
	return l, cancel
}

// run keeps a stream until ctx ends, or the server turns out to have no reports.
func (l *loadStream) run(ctx context.Context, conn grpc.ClientConnInterface) {
	for failures := 0; ; failures++ {
		received, err := l.receive(ctx, conn)
		if status.Code(err) == codes.Unimplemented {
			return
		}
		if received {
			failures = 0
		}
		if !l.wait(ctx, retryDelay(failures, l.ch.opts.Rand)) {
			return
		}
	}
}

// receive takes the reports of one stream until it ends. received is whether there was one.
func (l *loadStream) receive(ctx context.Context, conn grpc.ClientConnInterface) (received bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, loadMethod, grpc.ForceCodecV2(reportCodec{}))
	if err != nil {
		return false, err
	}
	if err := s.SendMsg(l.period); err != nil {
		return false, s.RecvMsg(new(loadReport)) // which has the reason
	}
	if err := s.CloseSend(); err != nil {
		return false, err
	}
	for ; ; received = true {
		var r loadReport
		if err := s.RecvMsg(&r); err != nil {
			return received, err
		}
		l.to.note(r, l.ch.judge.Load().penalty)
	}
}

// wait returns true after d, false if ctx ends before.
func (l *loadStream) wait(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := l.ch.opts.AfterFunc(d, func() { close(over) })
	select {
	case <-over:
		return true
	case <-ctx.Done():
		timer.Stop()
		return false
	}
}

// retryDelay is gRPC's connection backoff: a second, 1.6 times as much for each further failure, two minutes at most,
// and a fifth more or less.
func retryDelay(failures int, random func() uint64) time.Duration {
	d := float64(time.Second)
	for range failures {
		if d *= 1.6; d > float64(2*time.Minute) {
			d = float64(2 * time.Minute)
			break
		}
	}
	return time.Duration(d * (0.8 + 0.4*float64(random()>>11)/(1<<53)))
}

// reportCodec writes OrcaLoadReportRequest from a [time.Duration], its interval, and reads OrcaLoadReport to a
// *loadReport.
type reportCodec struct{}

// Name implements [encoding.CodecV2]: to the server, this is protocol buffers.
func (reportCodec) Name() string { return "proto" }

// Marshal implements [encoding.CodecV2].
func (reportCodec) Marshal(v any) (mem.BufferSlice, error) {
	period, ok := v.(time.Duration)
	if !ok {
		return nil, status.Errorf(codes.Internal, "a request for load reports is made of a time.Duration, not %T", v)
	}
	var d []byte // google.protobuf.Duration
	d = binary.AppendUvarint(append(d, 1<<3|wireVarint), uint64(period/time.Second))
	d = binary.AppendUvarint(append(d, 2<<3|wireVarint), uint64(period%time.Second))
	out := binary.AppendUvarint([]byte{1<<3 | wireBytes}, uint64(len(d)))
	return mem.BufferSlice{mem.SliceBuffer(append(out, d...))}, nil
}

// Unmarshal implements [encoding.CodecV2].
func (reportCodec) Unmarshal(data mem.BufferSlice, v any) error {
	to, ok := v.(*loadReport)
	if !ok {
		return status.Errorf(codes.Internal, "a load report is read to a *loadReport, not %T", v)
	}
	if *to, ok = parseReport(string(data.Materialize())); !ok {
		return status.Error(codes.Internal, "the load report is no OrcaLoadReport; check what the server sends")
	}
	return nil
}
