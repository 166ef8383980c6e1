package generator

import (
	"fmt"
	"go/token"
	"slices"
	"strconv"

	"github.com/goresilient/goresilient/internal/annotation"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Parameters are the plugin's own; those that every Go plugin has (paths, module, M…) are read by protogen.
type Parameters struct {
	// Policy is the path of a policy document; "" for none.
	Policy string
	// AnnotatedOnly leaves services without any policy without a client.
	AnnotatedOnly bool
	// PackageSuffix puts the clients in a package of their own: "resilient" gives inventoryv1resilient in a folder of
	// that name below the stubs. "" puts them beside the stubs.
	PackageSuffix string

	seen []string
}

// ParameterHelp lists every parameter with its meaning.
const ParameterHelp = `  paths=source_relative   write each file beside its proto, as protoc-gen-go does
  paths=import            write each file under its Go import path (the default)
  module=PREFIX           strip PREFIX from those import paths
  MFILE=IMPORT_PATH       set the Go import path of a proto file
  policy=FILE             read a policy document for schemas without annotations
  annotated_only=true     emit clients only for services that carry a policy
  package_suffix=SUFFIX   emit clients into a sub-package with this suffix`

// Set takes one parameter; it is a ParamFunc of protogen.
func (p *Parameters) Set(name, value string) error {
	if slices.Contains(p.seen, name) {
		return fmt.Errorf("parameter %q is given twice; remove one", name)
	}
	p.seen = append(p.seen, name)
	switch name {
	case "policy":
		if value == "" {
			return fmt.Errorf("parameter %q names no file; write policy=FILE", name)
		}
		p.Policy = value
	case "annotated_only":
		on, err := strconv.ParseBool(value)
		if value != "" && err != nil {
			return fmt.Errorf("parameter %q has the value %q; write true or false", name, value)
		}
		p.AnnotatedOnly = on || value == ""
	case "package_suffix":
		if !token.IsIdentifier("x" + value) {
			return fmt.Errorf("parameter %q has the value %q, which cannot end a Go package name; "+
				"write lower-case letters and digits", name, value)
		}
		p.PackageSuffix = value
	default:
		return fmt.Errorf("unknown parameter %q; the parameters are:\n%s", name, ParameterHelp)
	}
	return nil
}

// document reads the policy document; nil if there is none.
func (p *Parameters) document(env Environment) (*policy.Document, error) {
	if p.Policy == "" {
		return nil, nil
	}
	data, err := env.ReadFile(p.Policy)
	if err != nil {
		return nil, fmt.Errorf("parameter policy=%s: %w; the path is relative to the working directory of protoc or buf",
			p.Policy, err)
	}
	doc, err := policy.ParseDocument(p.Policy, data)
	if ps, ok := err.(policy.Problems); ok {
		return nil, annotation.DocumentProblems(ps)
	}
	return doc, err
}
