package generator

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/goresilient/goresilient/runtime/policy"
)

// comment is the doc comment of a declaration, paragraph by paragraph.
type comment struct {
	paragraphs []string // of lines without "//"
}

func (c *comment) add(paragraph string) {
	if paragraph != "" {
		c.paragraphs = append(c.paragraphs, paragraph)
	}
}

// addLeading carries over the comment of the schema.
func (c *comment) addLeading(leading protogen.Comments) {
	c.add(strings.TrimRight(string(leading), " \t\n"))
}

// addRenamed says why a name has underscores.
func (c *comment) addRenamed(n name) {
	if n.Go != n.Wanted {
		c.add("The name " + n.Wanted + " belongs to " + n.Holder + ".")
	}
}

// addWithheld says what inheritance took away.
func (c *comment) addWithheld(held []policy.Withheld) {
	var lines []string
	for _, w := range held {
		lines = append(lines, "The policy's "+w.Feature+" is inherited and not applied: "+w.Reason+".")
	}
	c.add(strings.Join(lines, "\n"))
}

// addDeprecated marks what is deprecated in the schema, unless its comment says so already.
func (c *comment) addDeprecated(deprecated bool) {
	const mark = "Deprecated:"
	if !deprecated {
		return
	}
	for _, p := range c.paragraphs {
		for line := range strings.Lines(p) {
			if strings.HasPrefix(strings.TrimSpace(line), mark) {
				return
			}
		}
	}
	c.add(mark + " Do not use.")
}

// String returns the comment as Go source that ends in a newline. A space follows each "//": without one, a comment of
// the schema could become a directive to the Go compiler.
func (c *comment) String() string {
	var b strings.Builder
	for i, p := range c.paragraphs {
		if i > 0 {
			b.WriteString("//\n")
		}
		for line := range strings.SplitSeq(p, "\n") {
			line = strings.TrimRight(line, " \t\r")
			if line != "" && line[0] != ' ' && line[0] != '\t' {
				line = " " + line
			}
			b.WriteString("//" + line + "\n")
		}
	}
	return b.String()
}
