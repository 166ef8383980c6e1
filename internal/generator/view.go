package generator

// fileView is what the template "file" renders. Every string in the view is Go source.
type fileView struct {
	Source         string // e.g., "acme/inventory/v1/inventory.proto"
	Version        string // e.g., "v0.1.0"
	Package        string // e.g., "inventoryv1"
	Deprecated     bool
	UsesDeprecated bool // of other packages
	Services       []serviceView
}

// serviceView is one client.
type serviceView struct {
	Name string // e.g., "acme.inventory.v1.InventoryService"

	Stub, NewStub string // of go-grpc, e.g., "InventoryServiceClient", "NewInventoryServiceClient"
	StubField     string // e.g., "stub"
	Streams       bool   // whether the stub is needed

	Client, ClientDoc   string // e.g., "InventoryServiceResilientClient"
	New, NewDoc         string // e.g., "NewInventoryServiceResilientClient"
	Options, OptionsDoc string // e.g., "InventoryServiceResilientOptions"
	Alias, AliasDoc     string // e.g., "InventoryServiceResilientRuntime"; "" unless an RPC is named Client
	Desc                string // e.g., "inventoryServiceResilience"

	Locals  locals
	Methods []methodView
	Layers  []string // literals of policy.Layer
}

// Unary returns the methods that are not streams.
func (s serviceView) Unary() []methodView {
	var unary []methodView
	for _, m := range s.Methods {
		if m.Stream == "" {
			unary = append(unary, m)
		}
	}
	return unary
}

// methodView is one RPC.
type methodView struct {
	Name              string // in the schema, e.g., "get_item"
	GoName            string // e.g., "GetItem"
	Doc               string
	Request, Response string // e.g., "GetItemRequest"
	Field             string // of the client, e.g., "getItemMethod"
	Option, OptionDoc string // of the options, e.g., "GetItem"
	Stream            string // e.g., "InventoryService_WatchItemsClient"; "" if unary
	ClientStreaming   bool
	HashKey           string // of the request in, e.g., "goresilient.HashString(in.GetId())"; "" for none
	Desc              string // literal of goresilient.MethodDesc
}

// locals are the identifiers inside of a constructor, whose body names packages: none may hide one.
type locals struct {
	Client, Err, Opts string
}
