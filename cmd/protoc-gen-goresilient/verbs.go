package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goresilient/goresilient/internal/generator"
	schema "github.com/goresilient/goresilient/proto"
)

const usage = `protoc-gen-goresilient emits resilient gRPC clients from annotated protos.

  protoc --go_out=gen --go-grpc_out=gen --goresilient_out=gen FILE.proto
  buf generate                           with the plugin "local: protoc-gen-goresilient" in buf.gen.yaml

By hand:
  protoc-gen-goresilient proto -o DIR    write ` + schema.PolicyPath + `, which annotations import, into DIR
  protoc-gen-goresilient --version       print the version
  protoc-gen-goresilient --help          print this text

Parameters (protoc: --goresilient_opt=NAME=VALUE; buf: opt):
` + generator.ParameterHelp

// runVerb carries out what the command line asks for.
func runVerb(args []string, out io.Writer) error {
	switch args[0] {
	case "--version", "-version":
		_, err := fmt.Fprintln(out, "protoc-gen-goresilient", generator.Version)
		return err
	case "--help", "-help", "-h", "help":
		_, err := fmt.Fprintln(out, usage)
		return err
	case "proto":
		return writeSchema(args[1:], out)
	default:
		return fmt.Errorf("unknown argument %q; write proto -o DIR, --version or --help, "+
			"or let protoc or buf run this program", args[0])
	}
}

// writeSchema writes the policy schema into the folder that the flag -o names.
func writeSchema(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("proto", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("o", "", "folder")
	if err := flags.Parse(args); err != nil || *dir == "" || flags.NArg() > 0 {
		return errors.Join(err, fmt.Errorf("write proto -o DIR; DIR is the folder that protoc's -I or buf's module names"))
	}
	path := filepath.Join(*dir, filepath.FromSlash(schema.PolicyPath))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(schema.Policy), 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, path)
	return err
}
