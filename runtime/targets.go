package goresilient

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// targets are the caller's options that tell how the call went: what grpc writes to, or calls, at the end of each attempt.
// Here the attempt that ends the call fills them, and no other.
type targets struct {
	headers, trailers []*metadata.MD
	peers             []*peer.Peer
	onFinish          []func(error)

	found [maxAttempts]found
}

// found is what one attempt filled in.
type found struct {
	header, trailer metadata.MD
	peer            peer.Peer
}

// splitTargets takes the targets out of opts; nil if there are none.
func splitTargets(opts []grpc.CallOption) (rest []grpc.CallOption, t *targets) {
	if !slices.ContainsFunc(opts, isTarget) {
		return opts, nil
	}
	t = new(targets)
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			t.headers = append(t.headers, o.HeaderAddr)
		case grpc.TrailerCallOption:
			t.trailers = append(t.trailers, o.TrailerAddr)
		case grpc.PeerCallOption:
			t.peers = append(t.peers, o.PeerAddr)
		case grpc.OnFinishCallOption:
			t.onFinish = append(t.onFinish, o.OnFinish)
		default:
			rest = append(rest, o)
		}
	}
	return rest, t
}

func isTarget(o grpc.CallOption) bool {
	switch o.(type) {
	case grpc.HeaderCallOption, grpc.TrailerCallOption, grpc.PeerCallOption, grpc.OnFinishCallOption:
		return true
	default:
		return false
	}
}

// redirect appends to opts those that fill what the numbered attempt finds.
func (t *targets) redirect(opts []grpc.CallOption, number int) []grpc.CallOption {
	f := &t.found[number-1]
	if len(t.headers) > 0 {
		opts = append(opts, grpc.Header(&f.header))
	}
	if len(t.trailers) > 0 {
		opts = append(opts, grpc.Trailer(&f.trailer))
	}
	if len(t.peers) > 0 {
		opts = append(opts, grpc.Peer(&f.peer))
	}
	return opts
}

// adopt fills the caller's targets with what the numbered attempt found; it has ended.
func (t *targets) adopt(number int) {
	f := &t.found[number-1]
	for _, addr := range t.headers {
		*addr = f.header
	}
	for _, addr := range t.trailers {
		*addr = f.trailer
	}
	for _, addr := range t.peers {
		*addr = f.peer
	}
}

// finish calls what is to be called at the end of the call.
func (t *targets) finish(err error) {
	for _, f := range t.onFinish {
		f(err)
	}
}

// finishRefused does the same for a call that grpc never gets to see.
func finishRefused(opts []grpc.CallOption, err error) {
	for _, o := range opts {
		if o, ok := o.(grpc.OnFinishCallOption); ok {
			o.OnFinish(err)
		}
	}
}
