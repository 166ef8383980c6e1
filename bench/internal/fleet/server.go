// Package fleet runs servers on loopback that work, queue, and fail as they are told.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/status"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
)

// Behaviour is what a server does with a call once a worker is free.
type Behaviour struct {
	// Mean is the average time that a call takes; times are distributed exponentially.
	Mean time.Duration
	// Failing is the share of calls that fail at once with UNAVAILABLE.
	Failing float64
	// Hanging has no call end before its deadline, and holds no worker meanwhile.
	Hanging bool
}

// Server is a grpc server with a number of workers, and a queue of those calls that wait for one. It reports its load with
// each call (ORCA). Its methods may be called concurrently.
type Server struct {
	plainv1.UnimplementedPlainServiceServer

	addr      string
	workers   chan struct{}
	behaviour atomic.Pointer[Behaviour]
	seed      uint64
	calls     atomic.Uint64 // that were ever begun; each draws from a stream of its own
	ended     atomic.Uint64 // of calls, those that a worker has done
	busy      atomic.Int64  // nanoseconds that workers have worked
	reports   orca.ServerMetricsRecorder

	mu       sync.Mutex // guards what follows
	server   *grpc.Server
	listener *listener
	served   chan error
	stop     chan struct{} // ends the reports
}

// Start starts a server. Its draws follow from seed.
func Start(workers int, b Behaviour, seed uint64) (*Server, error) {
	s := &Server{workers: make(chan struct{}, workers), seed: seed, reports: orca.NewServerMetricsRecorder(), addr: "127.0.0.1:0"}
	s.behaviour.Store(&b)
	if err := s.Up(); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr returns the server's address, which it keeps.
func (s *Server) Addr() string { return s.addr }

// Behave changes what the server does with the calls that begin from now on.
func (s *Server) Behave(b Behaviour) { s.behaviour.Store(&b) }

// Up listens, unless the server does.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	lis, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("fleet: a server cannot listen: %w", err)
	}
	s.addr = lis.Addr().String()
	s.listener = newListener(lis)
	s.server = grpc.NewServer(orca.CallMetricsServerOption(s.reports))
	plainv1.RegisterPlainServiceServer(s.server, s)
	s.served, s.stop = make(chan error, 1), make(chan struct{})
	go func(server *grpc.Server, lis net.Listener, served chan error) { served <- server.Serve(lis) }(s.server, s.listener, s.served)
	go s.report(s.stop)
	return nil
}

// Down closes the port and every connection, and has running calls fail. A server that is down stays so.
func (s *Server) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	close(s.stop)
	s.listener.reset()
	s.server.Stop()
	err := <-s.served
	s.server = nil
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Leave is a graceful end: clients are told to go elsewhere, and running calls may finish for as long as patience.
func (s *Server) Leave(patience time.Duration) error {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	if server != nil {
		timer := time.AfterFunc(patience, server.Stop)
		server.GracefulStop()
		timer.Stop()
	}
	return s.Down()
}

// Reset breaks every connection with a TCP reset.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.listener.reset()
	}
}

// GetItem implements [plainv1.PlainServiceServer].
func (s *Server) GetItem(ctx context.Context, in *plainv1.GetItemRequest) (*plainv1.GetItemResponse, error) {
	b := s.behaviour.Load()
	draw := rand.New(rand.NewPCG(s.seed, s.calls.Add(1)))
	if b.Hanging {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if draw.Float64() < b.Failing {
		return nil, status.Error(codes.Unavailable, "fleet: told to fail")
	}
	select {
	case s.workers <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	defer func() { <-s.workers }()
	took := time.Duration(draw.ExpFloat64() * float64(b.Mean))
	time.Sleep(took) // a worker ends what it has begun
	s.busy.Add(int64(took))
	s.ended.Add(1)
	orca.CallMetricsRecorderFromContext(ctx) // has the server's load told with this answer
	return &plainv1.GetItemResponse{ItemId: in.GetItemId(), InStock: 7, Server: s.addr}, nil
}

// report keeps the load that is told with each call.
func (s *Server) report(stop chan struct{}) {
	const every = 100 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	busy, ended, utilization, rate := s.busy.Load(), s.ended.Load(), 0.0, 0.0
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		nowBusy, nowEnded := s.busy.Load(), s.ended.Load()
		// Averages over about a second.
		utilization += (float64(nowBusy-busy)/float64(every)/float64(cap(s.workers)) - utilization) / 10
		rate += (float64(nowEnded-ended)/every.Seconds() - rate) / 10
		s.reports.SetApplicationUtilization(utilization)
		s.reports.SetQPS(rate)
		busy, ended = nowBusy, nowEnded
	}
}
