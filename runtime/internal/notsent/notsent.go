// Package notsent knows the errors with which grpc refuses to send a message: they say nothing of the server.
package notsent

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Is tells whether grpc has refused to send the message of a call that ended with err: it is too large, or cannot be encoded. grpc
// tells so by the text alone, its codes are those of servers as well.
func Is(err error) bool {
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return starts(err, "trying to send message larger than max ")
	case codes.Internal:
		return starts(err, "grpc: error while marshaling: ") || starts(err, "grpc: error while compressing: ")
	default:
		return false
	}
}

func starts(err error, text string) bool {
	return strings.HasPrefix(status.Convert(err).Message(), text)
}
