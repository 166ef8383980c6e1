// Package memnet is a network in memory for tests in virtual time: connections are net.Pipe's, whose every wait is one
// that testing/synctest knows to be durable, and which set no timer but for deadlines. (bufconn's connections set
// timers of no delay at all. In a bubble Go 1.26 runs those on the system stack, and the race detector crashes there
// once in many thousands.)
package memnet

import (
	"context"
	"net"
	"sync"
)

// Listener accepts the connections that its Dial makes. It is safe for concurrent use.
type Listener struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()
}

// Listen returns a listener without a backlog: Dial waits for Accept.
func Listen() *Listener {
	closed := make(chan struct{})
	return &Listener{accepted: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Dial connects to the listener once it accepts. It fails with net.ErrClosed when the listener is closed, and with the
// context's error when that ends first.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the server's end of the next connection, or net.ErrClosed when the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Dial and Accept; connections stay. It never fails.
func (l *Listener) Close() error {
	l.close()
	return nil
}

// Addr names the network "memory".
func (l *Listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return "memory" }
