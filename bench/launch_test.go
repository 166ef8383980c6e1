//go:build unix

package bench_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// launchVariable makes the test binary start the program that its arguments name, and measure it.
const launchVariable = "GORESILIENT_BENCH_LAUNCH"

// usage is what a program took.
type usage struct {
	Processor time.Duration // user and system
	Peak      int64         // of the memory that was resident, in bytes; never below the launcher's own
}

func TestMain(m *testing.M) {
	if os.Getenv(launchVariable) != "" {
		if err := launch(os.Args[1], os.Args[2], os.Args[3:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// launch runs a plugin on the request in a file and prints what it took.
func launch(plugin, request string, args ...string) error {
	in, err := os.Open(request)
	if err != nil {
		return err
	}
	cmd := exec.Command(plugin, args...)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(usage{
		Processor: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		Peak:      maxResident(cmd.ProcessState.SysUsage().(*syscall.Rusage)),
	})
}

// maxResident returns bytes. Linux counts in kilobytes.
func maxResident(r *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(r.Maxrss)
	}
	return int64(r.Maxrss) << 10
}

// measure runs a plugin by way of a launcher. Linux hands the peak of the process that starts a program down to it (the
// fork shares its memory until the exec), and the one that runs the benchmarks is large.
func measure(tb testing.TB, plugin, request string, args ...string) usage {
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{plugin, request}, args...)...)
	cmd.Env = append(os.Environ(), launchVariable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v", plugin, err)
	}
	var u usage
	if err := json.Unmarshal(out, &u); err != nil {
		tb.Fatalf("%s: %v in %q", plugin, err, out)
	}
	return u
}
