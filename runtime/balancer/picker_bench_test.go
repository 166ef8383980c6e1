package balancer

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// Each benchmark runs ours beside grpc's of the same policy, over the same fake SubConns: compare within one run.
//
//	go test ./runtime/balancer -run '^$' -bench Picker

func BenchmarkPickerRoundRobin(b *testing.B) {
	benchmarkPickers(b, roundRobinConfig(), "round_robin", "{}")
}

func BenchmarkPickerLeastRequest(b *testing.B) {
	benchmarkPickers(b, leastRequestConfig(2), "least_request_experimental", `{"choiceCount":2}`)
}

func BenchmarkPickerPeakEwma(b *testing.B) {
	benchmarkPickers(b, peakEwmaConfig(10*time.Second), "", "")
}

func BenchmarkPickerAdaptive(b *testing.B) { benchmarkPickers(b, adaptiveConfig(), "", "") }

// benchmarkPickers measures our policy, and grpc's if it has the same.
func benchmarkPickers(b *testing.B, cfg Config, peer, peerConfig string) {
	for _, n := range []int{3, 100, 1_000, 10_000} {
		r := newRig(b, cfg)
		r.ch = NewChannel(cfg, Options{AfterFunc: r.time.afterFunc}) // with a clock, and what it costs to read it
		r.must(r.resolve(addresses(n)...))
		bringUp(r.cc)
		r.time.fire()
		b.Run(fmt.Sprintf("endpoints=%d/goresilient", n), func(b *testing.B) { benchmarkPicker(b, r.cc.last().Picker) })
		if peer == "" || n > peerLimit() {
			continue
		}
		p := peerPicker(b, peer, peerConfig, n)
		b.Run(fmt.Sprintf("endpoints=%d/grpc", n), func(b *testing.B) { benchmarkPicker(b, p) })
	}
}

// benchmarkPicker calls the picker as grpc does for a call that succeeds.
func benchmarkPicker(b *testing.B, p balancer.Picker) {
	info := balancer.PickInfo{FullMethodName: "/a.B/C", Ctx: b.Context()}
	call := func() {
		res, err := p.Pick(info)
		if err != nil {
			b.Fatal(err)
		}
		if res.Done != nil {
			res.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true})
		}
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			call()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call()
			}
		})
	})
}

// peerPicker returns the picker of grpc's policy over n READY endpoints.
func peerPicker(b *testing.B, name, js string, n int) balancer.Picker {
	cc := new(fakeConn)
	lb := newPeer(b, cc, name, js)
	b.Cleanup(lb.Close)
	if err := lb.update(stateOf(addresses(n)...)); err != nil {
		b.Fatal(err)
	}
	bringUp(cc)
	return cc.last().Picker
}

// peer is a policy of grpc's with its configuration.
type peer struct {
	balancer.Balancer
	config balancer.ClientConnState
}

func newPeer(b *testing.B, cc balancer.ClientConn, name, js string) *peer {
	builder := balancer.Get(name)
	p := &peer{Balancer: builder.Build(cc, balancer.BuildOptions{})}
	if parser, ok := builder.(balancer.ConfigParser); ok {
		cfg, err := parser.ParseConfig([]byte(js))
		if err != nil {
			b.Fatal(err)
		}
		p.config.BalancerConfig = cfg
	}
	return p
}

func (p *peer) update(s resolver.State) error {
	return p.UpdateClientConnState(balancer.ClientConnState{ResolverState: s, BalancerConfig: p.config.BalancerConfig})
}

// bringUp makes every SubConn READY, and healthy where it is asked.
func bringUp(cc *fakeConn) {
	for _, sc := range cc.live() {
		sc.becomes(connectivity.Connecting)
	}
	for _, sc := range cc.live() {
		sc.becomes(connectivity.Ready)
		if sc.health != nil {
			sc.healthy(connectivity.Ready, nil)
		}
	}
}

func addresses(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.%d.%d.%d:443", i>>16, i>>8&255, i&255)
	}
	return out
}
