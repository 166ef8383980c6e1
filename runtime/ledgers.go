package goresilient

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/internal/breaker"
	"github.com/goresilient/goresilient/runtime/internal/budget"
	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/ledger"
	"github.com/goresilient/goresilient/runtime/internal/throttle"
)

// ledgerTargets are the guards that a ledger tells of the calls that went well; nil is off.
type ledgerTargets struct {
	throttle     *throttle.Throttle
	budget       *budget.Budget // where it is told late: see guards.late
	own, service *breaker.Breaker
}

// post tells them of n calls that ended between two times close to each other.
func (t *ledgerTargets) post(from, to int64, n uint32) {
	if t.throttle != nil {
		t.throttle.Accepted(to, n)
	}
	if t.budget != nil {
		t.budget.Deposit(from, n)
	}
	if t.own != nil {
		t.own.Succeeded(to, n)
	}
	if t.service != nil {
		t.service.Succeeded(to, n)
	}
}

// ledgers are those of a client. The lock of the client guards byTargets.
type ledgers struct {
	byTargets map[ledgerTargets]*ledger.Ledger
	all       atomic.Pointer[[]*ledger.Ledger]
}

// add publishes the ledgers of plans that are about to be in force beside those of the plans that are, so that flush reaches both.
func (l *ledgers) add(of map[ledgerTargets]*ledger.Ledger) {
	all := slices.Collect(maps.Values(of))
	for t, before := range l.byTargets {
		if of[t] != before {
			all = append(all, before)
		}
	}
	l.all.Store(&all)
}

// keep flushes and drops the ledgers of earlier plans, once those whose ledgers are given are in force. A call of an earlier plan that
// ends later flushes its ledger itself: see [method.direct].
func (l *ledgers) keep(of map[ledgerTargets]*ledger.Ledger) {
	for t, before := range l.byTargets {
		if of[t] != before {
			before.Flush(clock.Now())
		}
	}
	l.byTargets = of
	all := slices.Collect(maps.Values(of))
	l.all.Store(&all)
}

// flush has the guards told of all calls that went well until now.
func (l *ledgers) flush(now int64) {
	for _, each := range *l.all.Load() {
		each.Flush(now)
	}
}

// writeDown has the guards of p told of calls that went well by a ledger: one of coming, which are those of the plans that are being
// made, or one that the client has already, or a new one; the last two become one of coming. Methods with the same guards share one.
func (p *plan) writeDown(c *Client, coming map[ledgerTargets]*ledger.Ledger) {
	g := &p.guards
	g.late = g.budget != nil && p.first.timeout == 0 && p.hedge == nil
	t := ledgerTargets{throttle: g.throttle, own: g.own.breaker, service: g.service.breaker}
	if g.late {
		t.budget = g.budget
	}
	if !p.direct || t == (ledgerTargets{}) {
		g.late = false
		return
	}
	if g.ledger = coming[t]; g.ledger == nil {
		if g.ledger = c.ledgers.byTargets[t]; g.ledger == nil {
			g.ledger = ledger.New(t.post)
		}
		coming[t] = g.ledger
	}
}
