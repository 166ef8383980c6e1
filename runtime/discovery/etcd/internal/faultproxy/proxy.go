// Package faultproxy stands between a client and a server of TCP and does to their connections what networks do: it holds
// back bytes, loses them, and breaks connections, in one direction or in both.
package faultproxy

import (
	"net"
	"sync"
)

// Mode is what becomes of the bytes of one direction.
type Mode int

const (
	// Pass forwards them.
	Pass Mode = iota
	// Hold keeps them until the mode changes. The sender notices nothing until the buffers are full.
	Hold
	// Drop loses them, as when the other end has gone without a word. What comes after is no use to a protocol that needs
	// all bytes: break the connections before letting them pass again.
	Drop
)

// Proxy listens at an address of its own and connects to the server's. All methods may be called at any moment.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards all below
	changed *sync.Cond
	target  string
	modes   [2]Mode
	refuse  bool
	closed  bool
	pairs   map[*pair]struct{}
}

type pair struct{ client, server *net.TCPConn }

const toServer, toClient = 0, 1

// Listen returns a proxy on a free port of the loopback interface, in front of the server at target.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, pairs: make(map[*pair]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetModes changes what becomes of the bytes of all connections, those to come included.
func (p *Proxy) SetModes(toServer, toClient Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.modes = [2]Mode{toServer, toClient}
	p.changed.Broadcast()
}

// SetTarget changes the server that new connections lead to.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Refuse makes new connections end at once, or lets them in again.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// Reset breaks all connections, towards both ends, with a TCP reset.
func (p *Proxy) Reset() { p.end(func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }) }

// End closes all connections in order, as a server does that shuts down.
func (p *Proxy) End() { p.end(func(c *net.TCPConn) { _ = c.Close() }) }

func (p *Proxy) end(end func(*net.TCPConn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.pairs {
		end(pr.client)
		end(pr.server)
		delete(p.pairs, pr)
	}
	p.changed.Broadcast()
}

// Close ends everything and waits for it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Reset()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	p.mu.Lock()
	target, refuse := p.target, p.refuse
	p.mu.Unlock()
	if refuse {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	c, err := net.Dial("tcp", target)
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	pr := &pair{client, c.(*net.TCPConn)}
	p.mu.Lock()
	live := !p.closed && !p.refuse
	if live {
		p.pairs[pr] = struct{}{}
	}
	p.mu.Unlock()
	if live {
		var both sync.WaitGroup
		both.Go(func() { p.copy(pr, toServer, pr.server, client) })
		both.Go(func() { p.copy(pr, toClient, client, pr.server) })
		both.Wait()
	}
	_ = client.Close()
	_ = pr.server.Close()
}

// copy forwards one direction until it ends, and ends the other with it.
func (p *Proxy) copy(pr *pair, direction int, to, from *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.let(pr, direction) {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.lose(pr, direction)
}

// let waits while bytes are held, and reports whether they are to be forwarded.
func (p *Proxy) let(pr *pair, direction int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.live(pr) && p.modes[direction] == Hold {
		p.changed.Wait()
	}
	return p.live(pr) && p.modes[direction] == Pass
}

// lose ends a pair of which one end has gone. Where bytes do not pass, the other end does not hear of it either.
func (p *Proxy) lose(pr *pair, direction int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.live(pr) && p.modes[direction] != Pass {
		p.changed.Wait()
	}
	_ = pr.client.Close()
	_ = pr.server.Close()
	delete(p.pairs, pr)
}

func (p *Proxy) live(pr *pair) bool {
	_, ok := p.pairs[pr]
	return ok
}
