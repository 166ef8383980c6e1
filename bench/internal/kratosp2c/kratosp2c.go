// Package kratosp2c has Kratos balance by its p2c. Kratos's transport reads its global selector while it is initialised, and
// initialisation goes by import path as soon as what a package imports is ready: this one, which needs no grpc, comes first.
package kratosp2c

import (
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
)

// Name is under which Kratos registers its balancer with grpc.
const Name = "selector"

func init() { selector.SetGlobalSelector(p2c.NewBuilder()) }
