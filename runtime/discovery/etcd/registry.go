package etcd

import (
	"github.com/goresilient/goresilient/runtime/discovery"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/resolver"
)

// Scheme is that of the targets of [Registry.Builder].
const Scheme = "etcd"

// Registry reads services and values from one etcd. It may be used by many goroutines at once, and holds nothing that
// would have to be released.
type Registry struct {
	client   *clientv3.Client
	settings settings
}

// New returns the registry behind client, which stays the caller's to close, after all watchers.
func New(client *clientv3.Client, opts ...Option) *Registry {
	return &Registry{client: client, settings: newSettings(opts)}
}

// Builder returns the resolver builder for etcd:///service, for goresilient.WithResolvers and grpc.WithResolvers. All that
// follows the third slash is the name of the service, percent-decoded. It need not exist yet.
func (r *Registry) Builder() resolver.Builder {
	return discovery.NewBuilder(Scheme, func(target discovery.Target) (discovery.Source, error) {
		if problems := targetProblems(target); len(problems) > 0 {
			return nil, &discovery.ConfigError{Target: target.String(), Problems: problems}
		}
		return r.Source(target.Endpoint()), nil
	})
}

// Source returns the endpoints of service: of all keys that begin with its name and a slash. Each of its watchers has a
// stream of its own, on the connection of the client. The order of a set is that of the keys at first; whoever comes later
// stands at the end.
func (r *Registry) Source(service string) discovery.Source {
	return source{registry: r, key: serviceKey(r.settings.prefix, service)}
}

type source struct {
	registry *Registry
	key      string
}

// Watch implements [discovery.Source].
func (s source) Watch() discovery.Watcher {
	b := newBackend(s.registry.client, s.registry.settings)
	return newEndpointWatcher(startFeed(b, s.key, clientv3.GetPrefixRangeEnd(s.key)))
}

// WatchValue follows what is at key, after the prefix of the registry: a policy document, say. The key need not exist.
// The caller closes the watcher.
func (r *Registry) WatchValue(key string) *ValueWatcher {
	b := newBackend(r.client, r.settings)
	return &ValueWatcher{feed: startFeed(b, r.settings.prefix+key, "")}
}
