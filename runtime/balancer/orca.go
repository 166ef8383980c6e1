package balancer

import (
	"encoding/binary"
	"math"

	"google.golang.org/grpc/balancer"
)

// reportKey is the trailer in which a server reports its load (gRFC A51), as a message xds.data.orca.v3.OrcaLoadReport.
const reportKey = "endpoint-load-metrics-bin"

// loadReport is what counts of an OrcaLoadReport. The message is read here, and not with its generated code, so that
// programs need not link the packages of xDS.
type loadReport struct {
	cpu, application float64 // utilization; 1 is what the server can do
	rate, errors     float64 // calls a second, and those of them that fail
}

// generated is a report that grpc has read: it does so in programs that link its package orca.
type generated interface {
	GetCpuUtilization() float64
	GetApplicationUtilization() float64
	GetRpsFractional() float64
	GetEps() float64
}

// reportOf returns the report that came with the end of a call. ok is false if there is none, or it makes no sense.
func reportOf(info *balancer.DoneInfo) (r loadReport, ok bool) {
	if info.ServerLoad != nil {
		if g, ok := info.ServerLoad.(generated); ok {
			return loadReport{
				cpu: g.GetCpuUtilization(), application: g.GetApplicationUtilization(),
				rate: g.GetRpsFractional(), errors: g.GetEps(),
			}, true
		}
	}
	if values := info.Trailer[reportKey]; len(values) == 1 {
		return parseReport(values[0])
	}
	return loadReport{}, false
}

// weight returns the weight that a report comes to (A58): the rate at which the server would be fully used. penalty
// is how much errors count as use. It is 0 if the report does not say enough.
func (r *loadReport) weight(penalty float64) float64 {
	utilization := r.application
	if utilization == 0 {
		utilization = r.cpu
	}
	if !(utilization > 0 && r.rate > 0 && r.errors >= 0) {
		return 0
	}
	if r.errors > 0 { // a division is a part of what a pick costs
		utilization += r.errors / r.rate * penalty
	}
	w := r.rate / utilization
	if !(w <= math.MaxFloat32) { // not a number, or one with which no sum could be formed
		return 0
	}
	return w
}

// The wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// The fields of OrcaLoadReport that count, each a double.
const (
	cpuUtilization         = 1<<3 | wireFixed64
	rpsFractional          = 6<<3 | wireFixed64
	errorsPerSecond        = 7<<3 | wireFixed64
	applicationUtilization = 9<<3 | wireFixed64
)

// parseReport reads the wire format of a report and skips what it does not need.
func parseReport(s string) (r loadReport, ok bool) {
	for len(s) > 0 {
		tag, n := uvarint(s)
		if n == 0 {
			return r, false
		}
		s = s[n:]
		size := 0
		switch tag & 7 {
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireVarint:
			_, size = uvarint(s)
			if size == 0 {
				return r, false
			}
		case wireBytes:
			length, n := uvarint(s)
			if n == 0 || length > uint64(len(s)) {
				return r, false
			}
			size = n + int(length)
		default:
			return r, false
		}
		if size > len(s) {
			return r, false
		}
		switch tag {
		case cpuUtilization:
			r.cpu = double(s)
		case rpsFractional:
			r.rate = double(s)
		case errorsPerSecond:
			r.errors = double(s)
		case applicationUtilization:
			r.application = double(s)
		}
		s = s[size:]
	}
	return r, true
}

// double reads eight bytes.
func double(s string) float64 {
	_ = s[7]
	return math.Float64frombits(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
}

// uvarint reads a number and returns its length, 0 if there is none.
func uvarint(s string) (x uint64, n int) {
	for i := range min(len(s), binary.MaxVarintLen64) {
		x |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return x, i + 1
		}
	}
	return 0, 0
}
