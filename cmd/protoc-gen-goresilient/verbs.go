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
		return printAlone(args, "protoc-gen-goresilient "+generator.Version, out)
	case "--help", "-help", "-h", "help":
		return printAlone(args, usage, out)
	case "proto":
		return writeSchema(args[1:], out)
	default:
		return fmt.Errorf("unknown argument %q; write proto -o DIR, --version or --help, "+
			"or let protoc or buf run this program", args[0])
	}
}

// printAlone prints the text that the first argument asks for, which takes no other argument.
func printAlone(args []string, text string, out io.Writer) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes no argument, and %q follows; remove it", args[0], args[1])
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// writeSchema writes the policy schema into the folder that the flag -o names, and prints where it is.
func writeSchema(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("proto", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("o", "", "folder")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprintln(out, usage)
		return err
	}
	if err != nil || *dir == "" || flags.NArg() > 0 {
		return errors.Join(err, errors.New("write proto -o DIR; DIR is the folder that protoc's -I or buf's module names"))
	}
	path := filepath.Join(*dir, filepath.FromSlash(schema.PolicyPath))
	note := ""
	if old, err := os.ReadFile(path); err == nil && string(old) != schema.Policy {
		note = " (replaced a different one)"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("%w; let -o name a folder, or one that can be made", err)
	}
	if err := os.WriteFile(path, []byte(schema.Policy), 0o644); err != nil {
		return fmt.Errorf("%w; let -o name a folder that can be written", err)
	}
	_, err = fmt.Fprintln(out, path+note)
	return err
}
