package goresilient

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
)

// recordContext is the context of an attempt that needs a record and no deadline of its own.
type recordContext struct {
	context.Context
	record attempt.Record
}

// Value implements [context.Context].
func (c *recordContext) Value(key any) any {
	if _, ok := key.(attempt.Key); ok {
		return &c.record
	}
	return c.Context.Value(key)
}

// AfterFunc spares the context package a goroutine where the parent is a context of its own kind that has the method.
func (c *recordContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// attemptState is where an attempt that has no record learns what the server says about further attempts.
type attemptState struct {
	trailer metadata.MD
	room    [2]grpc.CallOption // for the options of the attempt
}

// timedAttempt is an attempt that has a deadline of its own, or may be cancelled.
type timedAttempt struct {
	deadline.Context
	attemptState
}
