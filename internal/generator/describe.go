package generator

import (
	"cmp"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/goresilient/goresilient/runtime/policy"
)

// clientDoc is the comment of the client type: what it is, then what the schema says of the service. stub is the type
// that it implements, as the file writes it.
func clientDoc(s *protogen.Service, n serviceNames, stub string) string {
	var c comment
	c.add(n.Client.Go + " calls " + string(s.Desc.FullName()) + " under the policy of its schema.\n" +
		"It implements " + stub + " and may be used by many goroutines. Close it when it is no longer needed.")
	c.addRenamed(n.Client)
	c.addLeading(s.Comments.Leading)
	c.addDeprecated(isDeprecatedService(s))
	return c.String()
}

func newDoc(s *protogen.Service, n serviceNames) string {
	var c comment
	c.add(n.New.Go + " returns a client. Options win over the policy of the schema,\na later one over an earlier one.")
	c.addRenamed(n.New)
	c.addDeprecated(isDeprecatedService(s))
	return c.String()
}

func optionsDoc(n serviceNames) string {
	var c comment
	c.add(n.Options.Go + " is an option of " + n.New.Go + ", with one field per RPC.\nIts zero value changes nothing.")
	c.addRenamed(n.Options)
	return c.String()
}

// aliasDoc explains the other name of the runtime client.
func aliasDoc(n serviceNames) string {
	var c comment
	if n.Alias.Go == "" {
		return ""
	}
	c.add(n.Alias.Go + " is the runtime beneath the client. The name Client belongs to an RPC.")
	c.addRenamed(n.Alias)
	return c.String()
}

func methodDoc(m *protogen.Method, n serviceNames, held []policy.Withheld) string {
	var c comment
	c.addLeading(m.Comments.Leading)
	if len(c.paragraphs) == 0 {
		c.add(m.GoName + " calls " + string(m.Parent.Desc.FullName()) + "/" + string(m.Desc.Name()) + ".")
	}
	c.addWithheld(held)
	c.addHides(m.GoName, cmp.Or(n.Alias.Go, "Client"))
	c.addDeprecated(isDeprecatedMethod(m))
	return c.String()
}

func optionDoc(n methodNames) string {
	var c comment
	c.addRenamed(n.Option)
	return c.String()
}
