//go:build unix

package bench_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// plugins are ours and its peer, as packages of programs that this module knows as tools.
var plugins = []string{
	"github.com/goresilient/goresilient/cmd/protoc-gen-goresilient",
	"google.golang.org/grpc/cmd/protoc-gen-go-grpc",
}

// generation runs both plugins on one request.
type generation struct {
	programs []string // built from plugins
	request  string   // the file that holds it
	floor    int64    // the least peak that a launch can show, in bytes

	processor contest.Samples // seconds
	memory    contest.Samples // megabytes at the peak
}

func newGeneration(tb testing.TB) *generation {
	dir := tb.TempDir()
	g := &generation{
		request:   filepath.Join(dir, "request"),
		processor: make(contest.Samples, len(plugins)),
		memory:    make(contest.Samples, len(plugins)),
	}
	if err := os.WriteFile(g.request, largeRequest(tb), 0o600); err != nil {
		tb.Fatal(err)
	}
	for _, p := range plugins {
		program := filepath.Join(dir, filepath.Base(p))
		build := exec.Command("go", "build", "-o", program, p)
		build.Env = append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			tb.Fatalf("%v: %v\n%s", build.Args, err, out)
		}
		g.programs = append(g.programs, program)
		g.check(tb, program)
		g.floor = max(g.floor, measure(tb, program, g.request, "--version").Peak)
	}
	return g
}

// check lets a plugin run once and looks whether it did its work.
func (g *generation) check(tb testing.TB, program string) {
	request, err := os.Open(g.request)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { closeOrFail(tb, request.Close) }()
	cmd := exec.Command(program)
	cmd.Stdin, cmd.Stderr = request, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v", program, err)
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out, resp); err != nil {
		tb.Fatalf("%s: %v", program, err)
	}
	if resp.Error != nil || len(resp.File) != schemaServices {
		tb.Fatalf("%s: %d files and the error %q, want %d files", program, len(resp.File), resp.GetError(), schemaServices)
	}
}

// round runs each plugin twice, the second time in reverse order.
func (g *generation) round(tb testing.TB) {
	processor, memory := make([]float64, len(g.programs)), make([]float64, len(g.programs))
	for turn := range 2 * len(g.programs) {
		i := min(turn, 2*len(g.programs)-1-turn)
		u := measure(tb, g.programs[i], g.request)
		if u.Peak <= g.floor {
			tb.Fatalf("%s: its peak, %d bytes, is that of a run that does nothing; enlarge the request", g.programs[i], u.Peak)
		}
		processor[i] += u.Processor.Seconds() / 2
		memory[i] += float64(u.Peak) / (1 << 20) / 2
	}
	for i := range g.programs {
		g.processor[i] = append(g.processor[i], processor[i])
		g.memory[i] = append(g.memory[i], memory[i])
	}
}

// BenchmarkGenerate is a run of the plugin over 500 services of 10 RPCs each, half of them annotated, beside
// protoc-gen-go-grpc on the same request.
func BenchmarkGenerate(b *testing.B) {
	g := newGeneration(b)
	for b.Loop() {
		g.round(b)
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"ours", "grpc"} {
		b.ReportMetric(g.processor.Median(i)*1000, name+"-cpu-ms/op")
		b.ReportMetric(g.memory.Median(i), name+"-peak-MB/op")
	}
	b.ReportMetric(float64(g.floor)/(1<<20), "floor-MB")
	b.ReportMetric(contest.Median(g.processor.Ratios(0, 1)), "cpu-ratio")
	b.ReportMetric(contest.Median(g.memory.Ratios(0, 1)), "peak-ratio")
}
