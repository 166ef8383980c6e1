package pool_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// full measures grpc with 10 000 endpoints too. Bringing it up takes half a minute then: it is quadratic.
var full = flag.Bool("full", false, "measure grpc with 10 000 endpoints as well")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
