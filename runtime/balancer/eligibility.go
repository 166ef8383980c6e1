package balancer

import (
	"math"

	"github.com/goresilient/goresilient/runtime/balancer/internal/outlier"
	"github.com/goresilient/goresilient/runtime/discovery"
)

// eligibility is what decides whether calls may go to an endpoint, and how many. Channel.mu guards it.
type eligibility struct {
	group   *group        // that it takes part in; nil: the pool does not connect to it
	outlier outlier.State // outlives group

	hash     uint64  // of the ID, for the subset
	zoneHash uint64  // of its zone
	round    uint32  // of the pool's selections, the last one that chose it
	warmth   float32 // of slow start: its own share, in (0, 1]
	readyAt  int64   // when it last became READY, for slow start

	cold      bool // warmth counts
	ejected   bool // by outlier detection: no calls go to it, but in a panic
	probation bool // few calls go to it

	priority uint32 // that discovery gives it, 0 if it gives none
}

// probationShare is the share of an endpoint on probation: enough to see whether it is well again.
const probationShare = 0.05

// share returns which share of the calls goes to the endpoint, beside one that takes its full share.
func (e *endpoint) share() float64 {
	share := 1.0
	if e.cold && e.group != nil {
		share = float64(e.warmth) / max(float64(e.warmth), e.group.top)
	}
	if e.probation {
		share *= probationShare
	}
	return share
}

// spread tells the pickers the endpoint's share.
func (e *endpoint) spread() { e.load.share.Store(uint32(math.Round(e.share() * fullShare))) }

// zoneOf returns where an endpoint stands, "" if that is unknown.
func zoneOf(info *discovery.Endpoint) string {
	if info == nil {
		return ""
	}
	return info.Zone
}

// priorityOf returns the one that discovery gives an endpoint, 0 if it gives none.
func priorityOf(info *discovery.Endpoint) uint32 {
	if info == nil {
		return 0
	}
	return info.Priority
}
