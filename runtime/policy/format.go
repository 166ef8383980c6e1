package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// FormatValue writes a value that [Fields] yielded as it would stand in a YAML policy document.
func FormatValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "{}"
	case time.Duration:
		return formatDuration(v)
	case []codes.Code:
		names := make([]string, len(v))
		for i, c := range v {
			names[i] = codeName(c)
		}
		return "[" + strings.Join(names, ", ") + "]"
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64) // 1000000, where %v has 1e+06
	default:
		return fmt.Sprint(v)
	}
}

// formatDuration drops the zero units that [time.Duration.String] adds: "5m", not "5m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// codeNames are the names of google.rpc.Code; [codes.Code.String] has Go's spelling instead.
var codeNames = [...]string{
	codes.OK:                 "OK",
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

func codeName(c codes.Code) string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return strconv.Itoa(int(c))
}

// parseCode reads "UNAVAILABLE", "CODE_UNAVAILABLE" or, as a gRPC service config may have it, "CANCELED".
func parseCode(s string) (codes.Code, bool) {
	name := strings.TrimPrefix(s, "CODE_")
	if name == "CANCELED" {
		return codes.Canceled, true
	}
	for c, n := range codeNames {
		if n == name {
			return codes.Code(c), true
		}
	}
	return 0, false
}
