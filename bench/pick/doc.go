// Package pick measures a pick with its completion, beside the balancers of peers.
package pick
