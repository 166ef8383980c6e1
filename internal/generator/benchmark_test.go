package generator_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/goresilient/goresilient/internal/generator"
)

// largeSchema is a schema of many annotated services, ten RPCs each, one service a file.
func largeSchema(services int) (src sources, files []string) {
	src = make(sources)
	for i := range services {
		var b strings.Builder
		fmt.Fprintf(&b, `syntax = "proto3"; package big.s%d; import "goresilient/v1/policy.proto";
option go_package = "example.com/big/s%[1]d"; message Request { string id = 1; } message Response { string id = 1; }
// Service%[1]d is one of many.
service Service%[1]d {
  option (goresilient.v1.service) = {
    target: "dns:///s%[1]d:443"
    load_balancing: {least_request: {choices: 3}}
    dial: {timeout: "3s" min_ready: 2}
    connection: {keepalive: {time: "30s"}}
    method_defaults: {timeout: {total: "1s"}}
  };
`, i)
		for j := range 10 {
			stream := ""
			if j == 9 {
				stream = "stream "
			}
			fmt.Fprintf(&b, "  // Get%d returns something.\n  rpc Get%[1]d(Request) returns (%sResponse) {\n", j, stream)
			if j < 3 {
				fmt.Fprintf(&b, "    option idempotency_level = NO_SIDE_EFFECTS;\n    option (goresilient.v1.method) = {timeout: {total: \"%dms\"} max_response_bytes: 1024};\n", 100+j)
			}
			b.WriteString("  }\n")
		}
		b.WriteString("}\n")
		name := fmt.Sprintf("big/s%d.proto", i)
		src[name] = b.String()
		files = append(files, name)
	}
	return src, files
}

// BenchmarkRespond measures a run over 500 services with 5000 RPCs. With GORESILIENT_REQUEST set it also writes the
// request to that file, for other plugins to be measured with.
func BenchmarkRespond(b *testing.B) {
	src, files := largeSchema(500)
	req := compile(b, src, "", files...)
	if path := os.Getenv("GORESILIENT_REQUEST"); path != "" {
		data, err := proto.Marshal(req)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if resp := generator.Respond(req, generator.Environment{}); resp.Error != nil || len(resp.File) != len(files) {
			b.Fatalf("%d files, error %q", len(resp.File), resp.GetError())
		}
	}
}
