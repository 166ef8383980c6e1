// Package silence puts logging back to what it is in a program without go-zero.
package silence

import (
	"io"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/grpclog"
)

// Logs silences go-zero, and takes its logger away from grpc: linking go-zero sets one for the whole process that has grpc
// format every verbose message, which would cost each contender what go-zero alone asks for. It must run before grpc does.
func Logs() {
	logx.Disable()
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}
