package goresilient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"
)

// alertWait is how long a connection that cannot be written to is asked why. The answer, if there is one, has arrived.
const alertWait = 100 * time.Millisecond

// newTLS returns TLS credentials whose connections tell why a server hung up. With TLS 1.3 the handshake of a client ends
// before the server has looked at its certificate; a server that wants another one sends an alert and closes, and the first
// write fails with a bare "broken pipe". The alert says more.
func newTLS(config *tls.Config) credentials.TransportCredentials {
	return alertCredentials{credentials.NewTLS(config)}
}

type alertCredentials struct {
	credentials.TransportCredentials
}

// ClientHandshake implements [credentials.TransportCredentials].
func (c alertCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	if sc, ok := conn.(syscall.Conn); ok {
		return alertSyscallConn{alertConn{conn}, sc}, info, nil
	}
	return alertConn{conn}, info, nil
}

// Clone implements [credentials.TransportCredentials].
func (c alertCredentials) Clone() credentials.TransportCredentials {
	return alertCredentials{c.TransportCredentials.Clone()}
}

type alertConn struct{ net.Conn }

// alertSyscallConn keeps the socket reachable for grpc.
type alertSyscallConn struct {
	alertConn
	syscall.Conn
}

// Write implements [net.Conn]. After a failed write the connection is lost, and reading from it disturbs nobody: the TLS
// connection repeats an alert to every reader.
func (c alertConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil {
		return n, nil
	}
	_ = c.SetReadDeadline(time.Now().Add(alertWait))
	if _, cause := c.Read(make([]byte, 1)); isRemoteAlert(cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return n, err
}
