// Package annotation reads the resilience policy of services from the options of their schema, and from a policy
// document where one is given, and tells everything that is wrong with it at once, each with its position.
//
//	services, problems := annotation.Read(annotation.Input{Generate: files, Known: files})
//	if len(problems) > 0 {
//		return problems // one line each: file:line:col: service.method: what is wrong; what to write instead
//	}
//	inventory := services["acme.inventory.v1.InventoryService"]
//
// It knows descriptors and policy, and nothing of Go code.
package annotation
