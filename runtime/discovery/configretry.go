package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/goresilient/goresilient/runtime/policy"
)

// retryPolicy is that of a method config (gRFC A6).
type retryPolicy struct {
	MaxAttempts          int          `json:"maxAttempts"`
	InitialBackoff       string       `json:"initialBackoff"`
	MaxBackoff           string       `json:"maxBackoff"`
	BackoffMultiplier    float64      `json:"backoffMultiplier"`
	RetryableStatusCodes []codes.Code `json:"retryableStatusCodes"` // names or numbers
}

// maxAttempts is how many gRFC A6 allows; more are taken for that.
const maxAttempts = 5

// take makes the retry policy of grpc ours.
func (r retryPolicy) take(p *policy.Method) error {
	initial, err := parseProtoDuration(r.InitialBackoff)
	if err != nil {
		return fmt.Errorf("initialBackoff: %w", err)
	}
	longest, err := parseProtoDuration(r.MaxBackoff)
	if err != nil {
		return fmt.Errorf("maxBackoff: %w", err)
	}
	switch {
	case r.MaxAttempts < 2:
		return fmt.Errorf("maxAttempts: %d is out of range; write 2 to %d", r.MaxAttempts, maxAttempts)
	case initial <= 0 || longest <= 0 || r.BackoffMultiplier <= 0:
		return errors.New("initialBackoff, maxBackoff and backoffMultiplier must be greater than 0")
	case len(r.RetryableStatusCodes) == 0 || slices.Contains(r.RetryableStatusCodes, codes.OK):
		return errors.New("retryableStatusCodes: is empty, or has OK; write at least one code of an error, such as UNAVAILABLE")
	}
	p.Retry = &policy.Retry{
		MaxAttempts: policy.Set(min(r.MaxAttempts, maxAttempts)),
		Codes:       r.RetryableStatusCodes,
		Backoff: &policy.Backoff{
			Initial:    policy.Set(min(initial, longest)),
			Max:        policy.Set(longest),
			Multiplier: policy.Set(min(max(r.BackoffMultiplier, smallestMultiplier), 100)),
		},
	}
	return nil
}

// smallestMultiplier is for a multiplier of 1 or less, which grpc allows and policy does not: the delay hardly grows.
const smallestMultiplier = 1.000001

// renderRetry is the reverse.
func renderRetry(r *policy.Retry) json.RawMessage {
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }
	return marshal(retryPolicy{
		MaxAttempts:          *r.MaxAttempts,
		InitialBackoff:       seconds(*r.Backoff.Initial),
		MaxBackoff:           seconds(*r.Backoff.Max),
		BackoffMultiplier:    *r.Backoff.Multiplier,
		RetryableStatusCodes: r.Codes,
	})
}
