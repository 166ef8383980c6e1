package balancer

import (
	"context"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// keyed has tiers of consistent_hash divide the keys as those of other policies divide the calls: a key keeps to its
// tier, in all clients that have the same shares, and as a share grows others follow.
type keyed struct{ *tiered }

func (k *keyed) choose(_ int64, ctx context.Context, rec *attempt.Record) *target {
	key := k.rules[0].(*consistentHash).key(ctx, rec)
	at := scatter(scatter(key)) >> 1 // scatter(key) itself is where the key looks in a ring
	i := 0
	for i < len(k.until) && at >= k.until[i] {
		i++
	}
	return k.rules[i].(*consistentHash).of(key, rec)
}
