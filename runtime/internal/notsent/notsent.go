// Package notsent knows the errors with which grpc refuses to send a message: they say nothing of the server.
package notsent

import (
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Is tells whether grpc has refused to send the message of a call that ended with err: it is too large, or cannot be encoded. grpc
// tells so by the text alone. Servers that cannot send their answer use the same: whoever knows that err came from one says so by
// [FromServer].
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
	var answer *answer
	return strings.HasPrefix(status.Convert(err).Message(), text) && !errors.As(err, &answer)
}

// answer is an error that looks like one of ours, and is the server's.
type answer struct{ error }

// FromServer returns err, which came from a server, so that Is does not mistake it.
func FromServer(err error) error {
	if Is(err) {
		return &answer{err}
	}
	return err
}

func (a *answer) Unwrap() error { return a.error }

// GRPCStatus lets status.Code and status.FromError read the error.
func (a *answer) GRPCStatus() *status.Status { return status.Convert(a.error) }
