package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/goresilient/goresilient/internal/generator"
	schema "github.com/goresilient/goresilient/proto"
	goresilientv1 "github.com/goresilient/goresilient/proto/goresilient/v1"
)

// stdin returns a file with the given content, as a plugin gets it.
func stdin(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return file
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// request is that for a file with one service, which has the options.
func request(t *testing.T, options *descriptorpb.ServiceOptions) []byte {
	t.Helper()
	req, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"s.proto"},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile: []*descriptorpb.FileDescriptorProto{{
			Name:        proto.String("s.proto"),
			Syntax:      proto.String("proto3"),
			Options:     &descriptorpb.FileOptions{GoPackage: proto.String("example.com/s")},
			MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
			Service: []*descriptorpb.ServiceDescriptorProto{{
				Name: proto.String("S"), Options: options,
				Method: []*descriptorpb.MethodDescriptorProto{{
					Name: proto.String("Get"), InputType: proto.String(".M"), OutputType: proto.String(".M"),
				}},
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestOptionsThatDoNotFit: what protoc hands over need not be what the schema says.
func TestOptionsThatDoNotFit(t *testing.T) {
	number := goresilientv1.E_Service.TypeDescriptor().Number()
	value := func(fields ...byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), fields)
	}
	for _, test := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"text that is not UTF-8", value(0x0a, 1, 0xff), // the target
			"s.proto: S: (goresilient.v1.service) has text that is not UTF-8; write its strings in UTF-8"},
		{"a string", value('m', 'i', 'n', 'e'),
			"s.proto: S: (goresilient.v1.service) has a value that is not of the option's type; " +
				"import the schema that protoc-gen-goresilient proto -o DIR writes"},
		{"a number", protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 5),
			"s.proto: S: (goresilient.v1.service) has a value that is not of the option's type; " +
				"import the schema that protoc-gen-goresilient proto -o DIR writes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := new(descriptorpb.ServiceOptions)
			options.ProtoReflect().SetUnknown(test.raw)
			var out bytes.Buffer
			if err := run(nil, stdin(t, request(t, options)), &out); err != nil {
				t.Fatal(err)
			}
			resp := new(pluginpb.CodeGeneratorResponse)
			if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
				t.Fatal(err)
			}
			if resp.GetError() != test.want {
				t.Errorf("the error is %q, want %q", resp.GetError(), test.want)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	var out bytes.Buffer
	if err := run(nil, stdin(t, request(t, nil)), &out); err != nil {
		t.Fatal(err)
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		t.Fatal(err)
	}
	if resp.Error != nil || len(resp.File) != 1 || resp.File[0].GetName() != "s_goresilient.pb.go" {
		t.Errorf("the response is %v", resp)
	}
}

func TestVerbs(t *testing.T) {
	dir, older := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	write(t, filepath.Join(older, "goresilient", "v1", "policy.proto"), "older")
	for _, test := range []struct {
		args      []string
		out, want string // want is of the error; "" for none
	}{
		{args: []string{"--version"}, out: "protoc-gen-goresilient " + generator.Version + "\n"},
		{args: []string{"--help"}, out: "policy=FILE"},
		{args: []string{"-h"}, out: "package_suffix=SUFFIX"},
		{args: []string{"proto", "--help"}, out: "proto -o DIR"},
		{args: []string{"--version", "now"}, want: `--version takes no argument, and "now" follows; remove it`},
		{args: []string{"-h", "proto"}, want: `-h takes no argument, and "proto" follows; remove it`},
		{args: []string{"proto", "-o", file}, want: "; let -o name a folder"},
		{args: []string{"proto", "-o", older}, out: "policy.proto (replaced a different one)\n"},
		{args: []string{"proto", "-o", older}, out: "policy.proto\n"},
		{args: []string{"proto", "-o", dir}, out: filepath.Join(dir, "goresilient", "v1", "policy.proto")},
		{args: []string{"proto"}, want: "write proto -o DIR"},
		{args: []string{"proto", "-x"}, want: "write proto -o DIR"},
		{args: []string{"proto", "-o", dir, "more"}, want: "write proto -o DIR"},
		{args: []string{"generate"}, want: `unknown argument "generate"; write proto -o DIR, --version or --help`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			var out bytes.Buffer
			err := run(test.args, nil, &out)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("the output is %q, want %q in it", out.String(), test.out)
			}
		})
	}
	written, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(schema.PolicyPath)))
	if err != nil || string(written) != schema.Policy {
		t.Errorf("the schema was not written out whole: %v", err)
	}
}

// TestSchemaPath: annotations import the schema under the path that its generated code is registered with.
func TestSchemaPath(t *testing.T) {
	if got := protodesc.ToFileDescriptorProto(goresilientv1.File_goresilient_v1_policy_proto).GetName(); got != schema.PolicyPath {
		t.Errorf("the schema is registered as %s and written out as %s", got, schema.PolicyPath)
	}
}

func TestStandardInputThatIsNoRequest(t *testing.T) {
	for name, content := range map[string]string{"is empty": "", "is no CodeGeneratorRequest": "hello"} {
		if err := run(nil, stdin(t, []byte(content)), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want %q", err, name)
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := null.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := run(nil, null, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "protoc or buf runs it") {
		t.Errorf("a terminal gets %v", err)
	}
}
