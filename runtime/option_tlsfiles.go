package goresilient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/tls/certprovider"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
)

// TLSFiles names PEM files that [WithTLSFiles] reads and follows.
type TLSFiles struct {
	// CertFile and KeyFile are the client's own certificate and key, for mutual TLS. Both or neither; in one directory, so
	// that they can be replaced together.
	CertFile, KeyFile string
	// RootFile has the certificates that servers are verified by. Default: the system's roots.
	RootFile string
	// ServerName is the name to verify instead of the endpoint's host.
	ServerName string
	// Refresh is how often the files are looked at. Default: 1 min.
	Refresh time.Duration
}

const defaultTLSRefresh = time.Minute

// WithTLSFiles secures connections with certificates from files, and follows the files: a connection made after a rotation
// uses the new ones. A file that cannot be read when the client is made is an error; later, the last good ones stay.
func WithTLSFiles(files TLSFiles) Option {
	return channelOption("WithTLSFiles", func(s *Settings) {
		if err := files.check(); err != nil {
			s.credsOption = "WithTLSFiles" // given, if badly
			s.fail("WithTLSFiles: %w", err)
			return
		}
		s.setCredentials("WithTLSFiles", &fileCredentials{TransportCredentials: newTLS(&tls.Config{ServerName: files.ServerName}), files: files})
	})
}

// check reads the files once, so that what is wrong with them is known before any dial.
func (f TLSFiles) check() error {
	if f.CertFile == "" && f.KeyFile == "" && f.RootFile == "" {
		return errors.New("no file is named; name a certificate and its key, roots, or all three")
	}
	if (f.CertFile == "") != (f.KeyFile == "") {
		return errors.New("CertFile and KeyFile go together; name both or neither")
	}
	if f.CertFile != "" && filepath.Dir(f.CertFile) != filepath.Dir(f.KeyFile) {
		return fmt.Errorf("%s and %s lie in different directories, so that they cannot be replaced together; put them in one", f.CertFile, f.KeyFile)
	}
	var errs []error
	if f.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile); err != nil {
			errs = append(errs, fmt.Errorf("%s, %s: %w", f.CertFile, f.KeyFile, err))
		}
	}
	if f.RootFile != "" {
		pem, err := os.ReadFile(f.RootFile)
		if err != nil {
			errs = append(errs, err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("%s has no certificate in PEM form", f.RootFile))
		}
	}
	return errors.Join(errs...)
}

// fileCredentials makes the TLS configuration of each handshake from the files as they are then. The embedded credentials
// answer everything else. It starts a goroutine in open, which close ends; until then it does nothing.
type fileCredentials struct {
	credentials.TransportCredentials
	files    TLSFiles
	provider certprovider.Provider
}

// open returns the credentials for one channel.
func (c *fileCredentials) open() (*fileCredentials, error) {
	refresh := c.files.Refresh
	if refresh <= 0 {
		refresh = defaultTLSRefresh
	}
	p, err := pemfile.NewProvider(pemfile.Options{CertFile: c.files.CertFile, KeyFile: c.files.KeyFile, RootFile: c.files.RootFile, RefreshDuration: refresh})
	if err != nil {
		return nil, err
	}
	return &fileCredentials{TransportCredentials: c.TransportCredentials, files: c.files, provider: p}, nil
}

func (c *fileCredentials) close() { c.provider.Close() }

// ClientHandshake implements [credentials.TransportCredentials].
func (c *fileCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	material, err := c.provider.KeyMaterial(ctx)
	if err != nil {
		return nil, nil, err
	}
	return newTLS(&tls.Config{
		Certificates: material.Certs,
		RootCAs:      material.Roots,
		ServerName:   c.files.ServerName,
	}).ClientHandshake(ctx, authority, conn)
}

// Clone implements [credentials.TransportCredentials]. The files are followed once for all clones.
func (c *fileCredentials) Clone() credentials.TransportCredentials {
	return &fileCredentials{TransportCredentials: c.TransportCredentials.Clone(), files: c.files, provider: c.provider}
}
