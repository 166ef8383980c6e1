package balancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// recorded is a context that carries a record, as that of an attempt does.
type recorded struct {
	context.Context
	rec *attempt.Record
}

func (r *recorded) Value(key any) any {
	if key == (attempt.Key{}) {
		return r.rec
	}
	return r.Context.Value(key)
}

// withKey returns the context of the first attempt of a call over the channel that has a key.
func (c *Channel) withKey(key uint64) *recorded {
	r := &recorded{context.Background(), &attempt.Record{Channel: c.Identity()}}
	r.rec.SetKey(key)
	return r
}

// again makes the context that of a new call with the same key.
func (r *recorded) again() {
	key, _ := r.rec.Key()
	*r.rec = attempt.Record{Channel: r.rec.Channel}
	r.rec.SetKey(key)
}

// next returns the context of the call's next attempt.
func (r *recorded) next() *recorded {
	key, _ := r.rec.Key()
	next := &recorded{r.Context, &attempt.Record{Before: r.rec, Channel: r.rec.Channel}}
	next.rec.SetKey(key)
	return next
}

// BenchmarkPickerConsistentHash stands beside grpc's ring_hash, which takes its key from metadata; ours from the
// record, as it is with a generated client.
func BenchmarkPickerConsistentHash(b *testing.B) {
	for _, n := range []int{3, 100, 1_000, 10_000} {
		r := newRig(b, consistentHashConfig(1.25))
		r.ch.Record(true)
		r.must(r.resolve(addresses(n)...))
		bringUp(r.cc)
		r.time.fire()
		p := r.cc.last().Picker
		b.Run(fmt.Sprintf("endpoints=%d/goresilient", n), func(b *testing.B) {
			benchmarkCalls(b, p, func() context.Context { return r.ch.withKey(rand.Uint64()) })
		})
		if n > peerLimit() {
			continue
		}
		peer := lazyPeerPicker(b, "ring_hash_experimental", `{"requestHashHeader":"x-key"}`, n)
		b.Run(fmt.Sprintf("endpoints=%d/grpc", n), func(b *testing.B) {
			benchmarkCalls(b, peer, func() context.Context {
				return metadata.NewOutgoingContext(context.Background(), metadata.Pairs("x-key", fmt.Sprint(rand.Uint64())))
			})
		})
	}
}

// lazyPeerPicker is peerPicker for a policy that connects where calls go.
func lazyPeerPicker(b *testing.B, name, js string, n int) balancer.Picker {
	cc := new(fakeConn)
	lb := newPeer(b, cc, name, js)
	b.Cleanup(lb.Close)
	if err := lb.update(stateOf(addresses(n)...)); err != nil {
		b.Fatal(err)
	}
	for range 100 * n {
		if len(cc.live()) == n {
			break
		}
		for range n {
			ctx := metadata.NewOutgoingContext(b.Context(), metadata.Pairs("x-key", fmt.Sprint(rand.Uint64())))
			_, _ = cc.last().Picker.Pick(balancer.PickInfo{Ctx: ctx}) // which connects, on a goroutine of its own
		}
		time.Sleep(time.Microsecond)
	}
	for _, sc := range cc.live() {
		sc.becomes(connectivity.Connecting)
		sc.becomes(connectivity.Ready)
		if sc.health != nil {
			sc.healthy(connectivity.Ready, nil)
		}
	}
	return cc.last().Picker
}

// benchmarkCalls calls the picker with each of some contexts in turn.
func benchmarkCalls(b *testing.B, p balancer.Picker, newContext func() context.Context) {
	caller := func() func() {
		infos := make([]balancer.PickInfo, 1024)
		for i := range infos {
			infos[i] = balancer.PickInfo{FullMethodName: "/a.B/C", Ctx: newContext()}
		}
		i := 0
		return func() {
			i++
			info := infos[i%len(infos)]
			res, err := p.Pick(info)
			if err != nil {
				b.Fatal(err)
			}
			if res.Done != nil {
				res.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true})
			}
			if r, ok := info.Ctx.(*recorded); ok {
				r.again()
			}
		}
	}
	b.Run("serial", func(b *testing.B) {
		call := caller()
		b.ReportAllocs()
		for b.Loop() {
			call()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			call := caller()
			for pb.Next() {
				call()
			}
		})
	})
}
