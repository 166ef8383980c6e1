package generator

import (
	"fmt"
	"path/filepath"
	"regexp"
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
  annotated_only=true     emit clients only for services with a policy: an annotation on the file, the service or an
                          RPC, or the document's defaults or its entry for the service, sets anything
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
		if !suffixForm.MatchString(value) {
			return fmt.Errorf("parameter %q has the value %q, which cannot end a Go package name; "+
				"write lower-case letters and digits", name, value)
		}
		p.PackageSuffix = value
	default:
		hint := ""
		if value == "" && len(p.seen) > 1 {
			hint = fmt.Sprintf(" (a comma ends the value before it, that of %q: no value can have one)", p.seen[len(p.seen)-2])
		}
		return fmt.Errorf("unknown parameter %q%s; the parameters are:\n%s", name, hint, ParameterHelp)
	}
	return nil
}

// suffixForm is what may end a Go package name by convention.
var suffixForm = regexp.MustCompile(`^[a-z0-9]*$`)

// document reads the policy document; nil if there is none. What is wrong with it has the path as it was given.
func (p *Parameters) document(env Environment) (*policy.Document, annotation.Problems) {
	if p.Policy == "" {
		return nil, nil
	}
	at := annotation.Place{File: p.Policy}
	data, err := env.ReadFile(p.Policy)
	if err != nil {
		return nil, annotation.Problems{{Place: at, Text: fmt.Sprintf("parameter policy: %v; "+
			"the path is relative to the working directory of protoc or buf", err)}}
	}
	doc, err := policy.ParseDocument(p.Policy, data)
	if ps, ok := err.(policy.Problems); ok {
		return nil, annotation.DocumentProblems(ps)
	}
	if err != nil {
		return nil, annotation.Problems{{Place: at, Text: err.Error()}}
	}
	return doc, nil
}

// documentName is the path of the policy document as it stands in generated code, which must not depend on the machine:
// relative to the working directory, or the base name of a file outside of it.
func (p *Parameters) documentName(env Environment) string {
	name := filepath.Clean(p.Policy)
	if filepath.IsAbs(name) {
		inside, err := filepath.Rel(env.WorkingDirectory, name)
		if err == nil && filepath.IsLocal(inside) {
			name = inside
		} else {
			name = filepath.Base(name)
		}
	}
	return filepath.ToSlash(name)
}
