package goresilient_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// theProxy is named by HTTPS_PROXY while the tests run. Addresses on loopback are never asked of a proxy, so that it concerns
// only the tests that name hosts of theirs.
var theProxy = &connectProxy{routes: make(map[string]string)}

func TestMain(m *testing.M) {
	if err := theProxy.start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_ = os.Setenv("HTTPS_PROXY", "http://"+theProxy.listener.Addr().String())
	code := m.Run()
	theProxy.stop()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// connectProxy is an HTTP proxy that knows CONNECT alone.
type connectProxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	routes map[string]string // host:port → address
}

func (p *connectProxy) start() (err error) {
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	p.running.Go(func() {
		for {
			c, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(c) })
		}
	})
	return nil
}

func (p *connectProxy) stop() {
	_ = p.listener.Close()
	p.running.Wait()
}

func (p *connectProxy) route(name, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes[name] = address
}

func (p *connectProxy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	address := p.routes[req.Host]
	p.mu.Unlock()
	to, err := net.Dial("tcp", address)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer func() { _ = to.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(to, r); _ = to.Close() })
	_, _ = io.Copy(c, to)
	_ = c.Close()
	copying.Wait()
}

func TestProxyVerifiesEachEndpointByItsOwnName(t *testing.T) {
	a := newAuthority(t)
	address := func(host string) string {
		return serve(t, &testServer{}, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{a.issue(t, host)}})))
	}
	theProxy.route("a.example:443", address("a.example"))
	theProxy.route("b.example:443", address("b.example"))
	theProxy.route("c.example:443", address("a.example")) // an impostor
	trusting := goresilient.WithTLS(&tls.Config{RootCAs: a.pool})

	mustClient(t, goresilient.WithTarget("static:///a.example:443,b.example:443"), trusting,
		dialPolicy(policy.Dial{MinReady: policy.Set(2)}, long))
	_, err := newTestClient(goresilient.WithTarget("static:///a.example:443,c.example:443"), trusting,
		dialPolicy(policy.Dial{MinReady: policy.Set(2)}, 500*time.Millisecond))
	var name x509.HostnameError
	if !errors.As(err, &name) || name.Host != "c.example" {
		t.Fatalf("error = %v, want that c.example is not what the certificate says", err)
	}
}

func TestProxyResolvesDNSNames(t *testing.T) {
	theProxy.route("d.example:443", serve(t, &testServer{}))
	for _, target := range []string{"dns:///d.example:443", "d.example"} {
		c := mustClient(t, goresilient.WithTarget(target), goresilient.WithInsecure(), dialPolicy(policy.Dial{}, long))
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if n := len(c.Snapshot().Endpoints); n != 1 {
			t.Fatalf("%s: %d endpoints", target, n)
		}
	}
}
