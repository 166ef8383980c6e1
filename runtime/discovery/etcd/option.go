package etcd

import (
	"log/slog"
	"math/rand/v2"
	"time"
)

// Option changes what [New] or [Register] return. Each says to which of them it applies.
type Option interface{ apply(*settings) }

type option func(*settings)

func (o option) apply(s *settings) { o(s) }

type settings struct {
	prefix   string
	logger   *slog.Logger
	timeout  time.Duration
	silence  time.Duration
	pageSize int64
	wait     bool
	random   func() float64 // in [0, 1)
}

const (
	defaultTimeout  = 5 * time.Second
	defaultSilence  = 10 * time.Second
	defaultPageSize = 1000
)

func newSettings(opts []Option) settings {
	s := settings{
		logger:   slog.Default(),
		timeout:  defaultTimeout,
		silence:  defaultSilence,
		pageSize: defaultPageSize,
		wait:     true,
		random:   rand.Float64,
	}
	for _, o := range opts {
		o.apply(&s)
	}
	return s
}

// WithPrefix puts p before every key, as it is: with "prod/", service inventory is at "prod/inventory/". It is for New and
// Register. Default: nothing.
func WithPrefix(p string) Option { return option(func(s *settings) { s.prefix = p }) }

// WithLogger sets where registrations and losses of them are logged, and values that cannot be read. It is for New and
// Register; nil logs nothing. Default: [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return option(func(s *settings) {
		if l == nil {
			l = slog.New(slog.DiscardHandler)
		}
		s.logger = l
	})
}

// WithTimeout sets how long one request to etcd may take before it counts as failed and is tried again, and how long Close
// of a [Registration] waits. It is for New and Register. Default: 5 s, which also stands for what is not positive.
func WithTimeout(d time.Duration) Option {
	return option(func(s *settings) {
		s.timeout = d
		if d <= 0 {
			s.timeout = defaultTimeout
		}
	})
}

// WithSilenceLimit sets how long a watch may hear nothing from etcd before it counts as lost and is replaced. After half of
// it, etcd is asked for a sign of life. It is for New. Default: 10 s, which also stands for what is not positive.
//
// If it is the connection that is dead, only gRPC can replace it: set DialKeepAliveTime of the client.
func WithSilenceLimit(d time.Duration) Option {
	return option(func(s *settings) {
		s.silence = d
		if d <= 0 {
			s.silence = defaultSilence
		}
	})
}

// WithPageSize sets how many keys are read at once for a snapshot. It is for New. Default: 1000, which also stands for what
// is not positive.
func WithPageSize(keys int) Option {
	return option(func(s *settings) {
		s.pageSize = int64(keys)
		if keys <= 0 {
			s.pageSize = defaultPageSize
		}
	})
}

// WithoutWait makes [Register] return at once and register in the background, so that a server starts also while etcd is
// down. Default: Register waits.
func WithoutWait() Option { return option(func(s *settings) { s.wait = false }) }
