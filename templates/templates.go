// Package templates holds the text of generated clients. What the templates are given is in internal/generator.
package templates

import (
	"embed"
	"text/template"
)

//go:embed *.tmpl
var sources embed.FS

// Parse returns the template set; the template "file" renders a whole generated file.
func Parse() (*template.Template, error) {
	return template.ParseFS(sources, "*.tmpl")
}
