package goresilient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
)

// authority issues certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue makes a certificate for a host name or an IP address, good for servers and clients.
func (a *authority) issue(t testing.TB, host string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) writeRoot(t testing.TB, name string) {
	write(t, name, "CERTIFICATE", a.cert.Raw)
}

func write(t testing.TB, name, kind string, der []byte) {
	tmp := name + ".new"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, name); err != nil {
		t.Fatal(err)
	}
}

func TestTLSFilesFollowARotation(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	root := filepath.Join(t.TempDir(), "roots.pem")
	before.writeRoot(t, root)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	g := serveOn(t, l, &testServer{}, grpc.Creds(credentials.NewServerTLSFromCert(ptr(before.issue(t, "127.0.0.1")))))
	c := mustClient(t, goresilient.WithTarget("static:///"+address), goresilient.WithoutProxy(), goresilient.WithBlock(),
		goresilient.WithTLSFiles(goresilient.TLSFiles{RootFile: root, Refresh: 10 * time.Millisecond}))
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatal(err)
	}

	g.Stop()
	after.writeRoot(t, root)
	l, err = net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, &testServer{}, grpc.Creds(credentials.NewServerTLSFromCert(ptr(after.issue(t, "127.0.0.1")))))
	// A call may still meet the connection that is being closed; one on a new connection must succeed.
	for {
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.WaitForReady(true))
		if err == nil {
			break
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("a call after the rotation: %v", err)
		}
	}
}

func ptr[T any](v T) *T { return &v }
