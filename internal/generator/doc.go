// Package generator turns services into resilient clients: Go files beside those of protoc-gen-go and
// protoc-gen-go-grpc.
//
//	response := generator.Respond(request, generator.Environment{ReadFile: os.ReadFile})
//
// A run is four steps. Package annotation reads the policy and validates it; the naming table decides every
// identifier; the view is linked, which resolves imports; the templates render it. Nothing depends on the order of the
// files or on who compiled them: the same schema gives the same bytes.
package generator
