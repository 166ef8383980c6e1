package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	inventoryv1 "github.com/goresilient/goresilient/example/proto/acme/inventory/v1"
)

// behaviour is how a server misbehaves.
type behaviour struct {
	delay time.Duration // of each answer
	flaps time.Duration // up and down for so long each; 0 for always up
	dead  bool          // nothing listens
}

// server is one server of the fleet.
type server struct {
	inventoryv1.UnimplementedInventoryServiceServer
	name    string
	address string
	behaviour
}

func (s *server) describe() string {
	switch {
	case s.dead:
		return "dead: connections are refused"
	case s.flaps > 0:
		return fmt.Sprintf("flapping: up %v, down %[1]v; answers in %v", s.flaps, s.delay)
	default:
		return fmt.Sprintf("answers in %v", s.delay)
	}
}

// GetItem answers after the server's delay.
func (s *server) GetItem(ctx context.Context, in *inventoryv1.GetItemRequest) (*inventoryv1.GetItemResponse, error) {
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return &inventoryv1.GetItemResponse{ItemId: in.GetItemId(), InStock: 7, Server: s.name}, nil
}

// fleet is all servers, running.
type fleet struct {
	list   []*server
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startFleet(ctx context.Context) (*fleet, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &fleet{cancel: cancel, list: []*server{
		{name: "slow", behaviour: behaviour{delay: 150 * time.Millisecond}},
		{name: "flapping", behaviour: behaviour{delay: 5 * time.Millisecond, flaps: 700 * time.Millisecond}},
		{name: "dead", behaviour: behaviour{dead: true}},
		{name: "well-1", behaviour: behaviour{delay: 5 * time.Millisecond}},
		{name: "well-2", behaviour: behaviour{delay: 5 * time.Millisecond}},
	}}
	for _, s := range f.list {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.stop()
			return nil, err
		}
		s.address = listener.Addr().String()
		if s.dead {
			_ = listener.Close()
			continue
		}
		f.done.Go(func() { s.run(ctx, listener) })
	}
	return f, nil
}

// run serves until ctx ends, with the pauses of a server that flaps.
func (s *server) run(ctx context.Context, listener net.Listener) {
	for listener != nil {
		s.serve(ctx, listener)
		listener = s.comeBack(ctx)
	}
}

// serve serves until ctx ends, or for as long as a server that flaps is up.
func (s *server) serve(ctx context.Context, listener net.Listener) {
	if s.flaps > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.flaps)
		defer cancel()
	}
	g := grpc.NewServer()
	inventoryv1.RegisterInventoryServiceServer(g, s)
	defer context.AfterFunc(ctx, g.Stop)()
	_ = g.Serve(listener) // ends by Stop
}

// comeBack listens again at the same address after the pause of a server that flaps; nil when ctx ends.
func (s *server) comeBack(ctx context.Context) net.Listener {
	for {
		select {
		case <-time.After(s.flaps):
		case <-ctx.Done():
			return nil
		}
		if l, err := net.Listen("tcp", s.address); err == nil {
			return l
		}
	}
}

func (f *fleet) stop() {
	f.cancel()
	f.done.Wait()
}

func (f *fleet) addresses() []string {
	var all []string
	for _, s := range f.list {
		all = append(all, s.address)
	}
	return all
}
