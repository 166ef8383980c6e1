package pick_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/goresilient/goresilient/bench/internal/silence"
)

// full measures with 10 000 endpoints too. Bringing up a peer takes half a minute then: it is quadratic.
var full = flag.Bool("full", false, "measure with 10 000 endpoints as well")

// TestMain leaves aside what go-zero starts when it is linked.
func TestMain(m *testing.M) {
	silence.Logs()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
