package calls_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/goresilient/goresilient/bench/internal/silence"
)

// TestMain leaves aside what go-zero starts when it is linked.
func TestMain(m *testing.M) {
	silence.Logs()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
