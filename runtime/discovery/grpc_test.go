package discovery

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
)

// serve starts a server that counts, per :authority, what it is called with.
func serve(t *testing.T, network, address string) (addr string, seen chan string) {
	t.Helper()
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	seen = make(chan string, 100)
	s := grpc.NewServer(grpc.UnaryInterceptor(func(
		ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
	) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md.Get(":authority")[0]
		return handler(ctx, req)
	}))
	healthpb.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(lis)
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return lis.Addr().String(), seen
}

// call makes n calls through a round-robin channel to target.
func call(t *testing.T, n int, target string, opts ...grpc.DialOption) {
	t.Helper()
	_, b, err := ParseTarget(target, nil)
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithResolvers([]resolver.Builder{b}...), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for range n {
		_, err := healthpb.NewHealthClient(cc).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAuthorityIsThatOfTheEndpoint(t *testing.T) {
	a, seenA := serve(t, "tcp", "127.0.0.1:0")
	b, seenB := serve(t, "tcp", "127.0.0.1:0")
	t.Setenv("DISCOVERY_TEST_TARGET", a+","+b)
	both := func(t *testing.T, call func(), wantA, wantB string) {
		t.Helper()
		for len(seenA) == 0 || len(seenB) == 0 {
			call()
		}
		for len(seenA) > 0 {
			if got := <-seenA; got != wantA {
				t.Errorf("the first endpoint was called %q, want %q", got, wantA)
			}
		}
		for len(seenB) > 0 {
			if got := <-seenB; got != wantB {
				t.Errorf("the second endpoint was called %q, want %q", got, wantB)
			}
		}
	}
	t.Run("static", func(t *testing.T) {
		both(t, func() { call(t, 4, "static:///"+a+","+b) }, a, b)
	})
	t.Run("env", func(t *testing.T) {
		both(t, func() { call(t, 4, "env:///DISCOVERY_TEST_TARGET") }, a, b)
	})
	t.Run("WithAuthority", func(t *testing.T) {
		both(t, func() { call(t, 4, "static:///"+a+","+b, grpc.WithAuthority("mine")) }, "mine", "mine")
	})
	t.Run("credentials name the server", func(t *testing.T) {
		creds := grpc.WithTransportCredentials(namedCreds{insecure.NewCredentials()})
		both(t, func() { call(t, 4, "static:///"+a+","+b, creds) }, "named.example", "named.example")
	})
}

func TestSocketsOfAnyName(t *testing.T) {
	for _, name := range []string{"plain.sock", "a,b;c+d=e.sock", "100%.sock", "a b.sock", "q?f#.sock", "ü.sock"} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket, which has 107 bytes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := filepath.Join(dir, name)
			_, seen := serve(t, "unix", path)
			call(t, 1, "static:///"+FormatEndpoints([]Endpoint{{Addresses: []string{"unix:" + path}}}))
			if got := <-seen; got != "localhost" {
				t.Errorf("called %q", got)
			}
		})
	}
	if runtime.GOOS == "linux" {
		t.Run("abstract", func(t *testing.T) {
			name := fmt.Sprintf("discovery,%d", uniqueNumber(t))
			_, seen := serve(t, "unix", "@"+name)
			call(t, 1, "static:///unix-abstract:"+url.PathEscape(name))
			<-seen
		})
	}
}

// uniqueNumber is a port of this machine that nobody else has at the moment.
func uniqueNumber(t *testing.T) int {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis.Addr().(*net.TCPAddr).Port
}
