package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/notsent"
	"github.com/goresilient/goresilient/runtime/policy"
)

// outcome is what the end of a call says about its endpoint.
type outcome uint8

const (
	neutral outcome = iota // nothing
	success
	failure
)

// codeSet has one bit for each code.
type codeSet uint32

func codesOf(list []codes.Code) (s codeSet) {
	for _, c := range list {
		s |= 1 << (c & 31)
	}
	return s
}

func (s codeSet) has(c codes.Code) bool { return c < 32 && s>>c&1 != 0 }

// judge tells what the end of a call says. It is immutable.
type judge struct {
	failures codeSet
	// detects is whether outlier detection counts.
	detects bool
	// streak is after how many failures in a row, and again after as many more, somebody is told at once; 0: never.
	streak uint32
	// learns is whether the policy chooses by what it learns from the ends of calls.
	learns bool
	smoothing
	// lingers is whether the policy compares calls in flight, and those that have lost linger.
	lingers bool
	// reports is whether calls bring load reports; penalty is weighted_round_robin.error_penalty.
	reports bool
	penalty float64
}

// defaultFailures are the codes of the policy where outlier detection says nothing.
const defaultFailures codeSet = 1<<codes.Unavailable | 1<<codes.Unknown | 1<<codes.Internal | 1<<codes.DataLoss |
	1<<codes.DeadlineExceeded | 1<<codes.ResourceExhausted

// judge returns how the policy judges the calls.
func (c Config) judge() *judge {
	j := &judge{failures: defaultFailures, learns: c.level() >= sampled, lingers: c.compares(), smoothing: c.smoothing()}
	if c.arm() == armWeightedRoundRobin {
		s := c.weighted()
		j.reports, j.penalty = s.outOfBand == 0, s.penalty
	}
	if !c.detects() {
		return j
	}
	j.detects = true
	od := c.OutlierDetection
	if len(od.Codes) > 0 {
		j.failures = codesOf(od.Codes)
	}
	j.streak = uint32(policy.Value(od.ConsecutiveFailures))
	return j
}

// of returns what info says about the endpoint.
//
// DoneInfo{} means that the endpoint had no connection any more; another pick follows. An error without BytesSent is, with
// UNAVAILABLE, a connection that ended as the call came to it, be it by GOAWAY: grpc picks again. Both are neutral.
//
// A call that its caller has given up, a superseded hedge among them, is CANCELED and neutral. A server may say CANCELED
// too, which is told by the trailers that it sends along, or by a context that nobody has cancelled (fromServer). It is a
// failure where the policy says so, and neutral otherwise.
//
// No error does not always mean success: where SendMsg finds that the stream has ended, and grpc may still retry, Done comes
// with io.EOF turned into nil before the status is read. A success without a single byte from the server is therefore
// neutral. One with headers cannot be told from success.
func (j *judge) of(info *balancer.DoneInfo, fromServer bool) outcome {
	if info.Err == nil {
		if info.BytesReceived {
			return success
		}
		return neutral
	}
	if !info.BytesReceived && notsent.Is(info.Err) {
		return neutral
	}
	switch c := status.Code(info.Err); {
	case c == codes.Canceled && !(j.failures.has(c) && (fromServer || len(info.Trailer) > 0)):
		return neutral
	case c == codes.Unavailable && !info.BytesSent:
		return neutral
	case j.failures.has(c):
		return failure
	}
	return success
}

// missed tells whether the pick that info ends reached no server.
func missed(info *balancer.DoneInfo) bool { return !info.BytesSent && !info.BytesReceived }
