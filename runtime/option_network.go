package goresilient

import (
	"context"
	"net"

	"google.golang.org/grpc"
)

// WithDialer makes connections through dial instead of the net package. The address is as discovery has it, and no proxy is
// asked.
func WithDialer(dial func(ctx context.Context, address string) (net.Conn, error)) Option {
	return channelOption("WithDialer", func(s *Settings) {
		if dial == nil {
			s.fail("WithDialer(nil) gives no dialer; remove it")
			return
		}
		s.direct = true
		s.dialOptions = append(s.dialOptions, grpc.WithContextDialer(dial))
	})
}

// WithoutProxy ignores the proxy that HTTPS_PROXY and NO_PROXY name. Default: it is used.
func WithoutProxy() Option {
	return channelOption("WithoutProxy", func(s *Settings) {
		s.direct = true
		s.dialOptions = append(s.dialOptions, grpc.WithNoProxy())
	})
}
