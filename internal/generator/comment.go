package generator

import (
	"go/build/constraint"
	"slices"
	"strconv"
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
	text := strings.TrimRight(string(leading), " \t\n")
	// What a comment of the form /** … */ begins with is a second star.
	if rest, ok := strings.CutPrefix(text, "*"); ok && !strings.Contains(rest, "\n*") {
		first, more, _ := strings.Cut(rest, "\n")
		switch {
		case strings.TrimSpace(first) == "":
			text = more
		case strings.HasPrefix(first, " "):
			text = rest
		}
	}
	c.add(text)
}

// addHides says how to reach the method of the runtime that an RPC hides; client is the field that holds the runtime.
func (c *comment) addHides(goName, client string) {
	if slices.Contains(runtimeMethods, goName) {
		c.add("It hides the runtime's " + goName + ", which is reached as c." + client + "." + goName + ".")
	}
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

// addDeprecated marks what is deprecated in the schema, unless a paragraph of its comment does so already: for Go, the
// mark must begin a paragraph.
func (c *comment) addDeprecated(deprecated bool) {
	const mark = "Deprecated:"
	if !deprecated {
		return
	}
	for _, p := range c.paragraphs {
		begins := true
		for line := range strings.Lines(p) {
			if begins && strings.HasPrefix(strings.TrimPrefix(line, " "), mark+" ") {
				return
			}
			begins = strings.TrimSpace(line) == ""
		}
	}
	c.add(mark + " Do not use.")
}

// String returns the comment as Go source that ends in a newline. A space follows each "//": without one, a comment of
// the schema could become a directive to the Go compiler. One directive has such a space, the build constraint
// "// +build", which is put in quotes. What Go source cannot contain is left out.
func (c *comment) String() string {
	var b strings.Builder
	for i, p := range c.paragraphs {
		if i > 0 {
			b.WriteString("//\n")
		}
		p = notInSource.Replace(strings.ToValidUTF8(p, "\uFFFD"))
		for line := range strings.SplitSeq(p, "\n") {
			line = strings.TrimRight(line, " \t\r")
			if constraint.IsPlusBuild("//" + line) {
				line = strconv.Quote(strings.TrimSpace(line))
			}
			if line != "" && line[0] != ' ' && line[0] != '\t' {
				line = " " + line
			}
			b.WriteString("//" + line + "\n")
		}
	}
	return b.String()
}

// notInSource drops the characters that may not stand in Go source: NUL, and a byte order mark after its beginning.
var notInSource = strings.NewReplacer("\x00", "", "\uFEFF", "")
