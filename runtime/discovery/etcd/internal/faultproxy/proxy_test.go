package faultproxy

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo starts a server that sends back each line.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

type caller struct {
	t *testing.T
	net.Conn
	*bufio.Reader
}

func dial(t *testing.T, p *Proxy) caller {
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return caller{t, c, bufio.NewReader(c)}
}

func (c caller) send(line string) {
	if _, err := io.WriteString(c.Conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c caller) want(line string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := c.ReadString('\n'); err != nil || got != line+"\n" {
		c.t.Fatalf("got %q, %v, want %q", got, err, line)
	}
}

// wantNothing looks for a moment.
func (c caller) wantNothing() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	got, err := c.ReadString('\n')
	if e, ok := err.(net.Error); !ok || !e.Timeout() {
		c.t.Fatalf("got %q, %v, want nothing", got, err)
	}
}

func (c caller) wantEnd() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := c.ReadString('\n')
	if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
		c.t.Fatalf("got %v, want the end of the connection", err)
	}
}

func listen(t *testing.T) *Proxy {
	p, err := Listen(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestPassHoldDrop(t *testing.T) {
	p := listen(t)
	c := dial(t, p)
	c.send("passes")
	c.want("passes")
	for _, modes := range [][2]Mode{{Hold, Pass}, {Pass, Hold}, {Hold, Hold}} {
		p.SetModes(modes[0], modes[1])
		c.send("waits")
		c.wantNothing()
		p.SetModes(Pass, Pass)
		c.want("waits")
	}
	for _, modes := range [][2]Mode{{Drop, Pass}, {Pass, Drop}} {
		p.SetModes(modes[0], modes[1])
		c.send("is lost")
		c.wantNothing()
		p.SetModes(Pass, Pass)
		c.send("comes")
		c.want("comes")
	}
}

func TestBreaks(t *testing.T) {
	p := listen(t)
	for _, end := range []func(){p.Reset, p.End} {
		c := dial(t, p)
		c.send("a")
		c.want("a")
		end()
		c.wantEnd()
	}
	p.Refuse(true)
	dial(t, p).wantEnd()
	p.Refuse(false)
	p.SetTarget(echo(t))
	c := dial(t, p)
	c.send("b")
	c.want("b")
	p.SetModes(Hold, Drop)
	c.send("held when the proxy closes")
}
