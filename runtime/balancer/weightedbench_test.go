package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/goresilient/goresilient/runtime/policy"
)

// weightedConfig is weighted_round_robin that takes reports at once.
func weightedConfig(period time.Duration) Config {
	return Config{LoadBalancing: &policy.LoadBalancing{WeightedRoundRobin: &policy.WeightedRoundRobin{
		Blackout: policy.Set(time.Duration(0)), UpdatePeriod: policy.Set(period),
	}}}
}

// orcaReport returns a report as grpc reads it.
func orcaReport(tb testing.TB, rate, utilization float64) proto.Message {
	tb.Helper()
	t, err := protoregistry.GlobalTypes.FindMessageByName("xds.data.orca.v3.OrcaLoadReport")
	if err != nil {
		tb.Fatal(err)
	}
	m := t.New()
	for name, value := range map[protoreflect.Name]float64{"rps_fractional": rate, "application_utilization": utilization} {
		m.Set(t.Descriptor().Fields().ByName(name), protoreflect.ValueOfFloat64(value))
	}
	return m.Interface()
}

// BenchmarkPickerWeightedRoundRobin has each call bring a report, with weights between 1 and 4.
func BenchmarkPickerWeightedRoundRobin(b *testing.B) {
	loads := make([]balancer.DoneInfo, 256)
	for i := range loads {
		loads[i] = balancer.DoneInfo{
			BytesSent: true, BytesReceived: true, ServerLoad: orcaReport(b, 100, 0.25*float64(1+rand.IntN(4))),
		}
	}
	for _, n := range []int{3, 100, 1_000, 10_000} {
		r := newRig(b, weightedConfig(time.Second))
		r.must(r.resolve(addresses(n)...))
		bringUp(r.cc)
		r.time.fire()
		b.Run(fmt.Sprintf("endpoints=%d/goresilient", n), func(b *testing.B) {
			p := r.cc.last().Picker
			report(b, p, loads, 4*n)
			r.time.advance(time.Second)
			if p.(*weightedTurns).schedule.Load() == nil {
				b.Fatal("the reported weights do not count")
			}
			benchmarkReports(b, p, loads)
		})
		if n > peerLimit() {
			continue
		}
		p := weightedPeerPicker(b, n)
		b.Run(fmt.Sprintf("endpoints=%d/grpc", n), func(b *testing.B) {
			report(b, p, loads, 4*n)
			time.Sleep(150 * time.Millisecond) // until it has looked
			benchmarkReports(b, p, loads)
		})
	}
}

// measuredConn is a channel that measures nothing.
type measuredConn struct{ *fakeConn }

type noMetrics struct {
	stats.UnimplementedMetricsRecorder
}

func (measuredConn) MetricsRecorder() stats.MetricsRecorder { return noMetrics{} }

// weightedPeerPicker returns grpc's picker over n READY endpoints.
func weightedPeerPicker(b *testing.B, n int) balancer.Picker {
	cc := measuredConn{new(fakeConn)}
	lb := newPeer(b, cc, "weighted_round_robin", `{"blackoutPeriod":"0s","weightUpdatePeriod":"0.1s"}`)
	b.Cleanup(lb.Close)
	if err := lb.update(stateOf(addresses(n)...)); err != nil {
		b.Fatal(err)
	}
	bringUp(cc.fakeConn)
	return cc.last().Picker
}

func report(b *testing.B, p balancer.Picker, loads []balancer.DoneInfo, calls int) {
	for i := range calls {
		res, err := p.Pick(balancer.PickInfo{FullMethodName: "/a.B/C"})
		if err != nil {
			b.Fatal(err)
		}
		res.Done(loads[i%len(loads)])
	}
}

func benchmarkReports(b *testing.B, p balancer.Picker, loads []balancer.DoneInfo) {
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			report(b, p, loads, 1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				report(b, p, loads, 1)
			}
		})
	})
}
