package balancer

import (
	"context"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/pushback"
)

// completion measures one call at a time: it is taken from Channel.completions for a pick and goes back in Done, which grpc
// calls exactly once for each pick.
type completion struct {
	ch   *Channel
	done func(balancer.DoneInfo) // end, bound once

	counting     // at e
	stripe   int // of tallies; another one for another completion
	e        *endpoint
	began    int64
	ctx      context.Context // of the call
	rec      *attempt.Record // nil if it has none
}

// completion begins to measure a call to t and returns its Done.
func (c *Channel) completion(t *target, now int64, timed bool, ctx context.Context, rec *attempt.Record) func(balancer.DoneInfo) {
	m, _ := c.completions.Get().(*completion)
	if m == nil {
		m = &completion{ch: c, stripe: int(c.made.Add(1) % tallyCells)}
		m.done = m.end
	}
	if total := c.total.Load(); total != nil {
		m.tallied = &total.cells[m.stripe].n
		m.tallied.Add(1)
	}
	m.e, m.load, m.ctx, m.rec = t.e, t.load, ctx, rec
	if timed {
		m.began, m.generation = now, t.load.begin(now)
	} else {
		t.load.untimed.Add(1)
	}
	return m.done
}

// end is Done.
func (m *completion) end(info balancer.DoneInfo) {
	ch, e, in, began, rec, ctx := m.ch, m.e, m.counting, m.began, m.rec, m.ctx
	fromServer := info.Err != nil && ctx != nil && ctx.Err() == nil
	m.counting, m.e, m.ctx, m.rec = counting{}, nil, nil, nil
	ch.completions.Put(m)

	load, isTimed := in.load, in.generation != nil
	if rec == nil || !ch.linger(in, &info, rec) {
		in.leave()
	}
	if rec != nil {
		if missed(&info) {
			rec.Missed()
		}
		if info.Err != nil || info.BytesSent {
			rec.Ended(info.Err, info.BytesReceived, info.Trailer[pushback.Key])
		}
	}
	j := ch.judge.Load()
	if j.reports {
		e.reports.Load().take(&info, j.penalty)
	}
	if rec != nil && rec.Stream != nil && info.Err == nil && info.BytesSent {
		rec.Stream.Defer(func(err error) { ch.late(e, err) })
		return
	}
	said := success
	if info.Err != nil || !info.BytesReceived {
		said = j.of(&info, fromServer)
	}
	if said == failure && rec != nil && rec.Stream != nil && info.BytesReceived && status.Code(info.Err) == codes.DeadlineExceeded &&
		(!fromServer || deadline.Over(ctx, rec.Stream.Lasted())) {
		said = neutral // a stream that went on until the client's own deadline
	}
	silent := said == neutral && info.Err != nil && info.BytesSent && !info.BytesReceived
	var took int64
	switch {
	case isTimed && (said != neutral || silent):
		now := ch.opts.Now()
		took = max(1, now-began)
		load.learn(now, took, said, &j.smoothing)
	case said != neutral && j.learns && (said == failure || load.trouble.any()):
		load.blame(ch.opts.Now(), said == failure, j.forget)
	}
	if said != neutral && j.detects {
		ch.note(e, j, said, took)
	}
}

// ended is Done of a call to e that had no completion.
func (c *Channel) ended(e *endpoint, l *load, info *balancer.DoneInfo) {
	l.untimed.Add(-1)
	j := c.judge.Load()
	if j.reports {
		e.reports.Load().take(info, j.penalty)
	}
	if j.detects || j.learns && (info.Err != nil || l.trouble.any()) {
		c.conclude(e, j, j.of(info, false))
	}
}

// late takes how a stream ended of which grpc told no error. It says so too where a message could not be sent because the
// stream had failed.
func (c *Channel) late(e *endpoint, err error) {
	j := c.judge.Load()
	said := failure
	if err != attempt.ErrRepeated {
		said = j.of(&balancer.DoneInfo{Err: err, BytesSent: true, BytesReceived: true}, false)
	}
	c.conclude(e, j, said)
}

// conclude takes what the end of an untimed call said.
func (c *Channel) conclude(e *endpoint, j *judge, said outcome) {
	if said == neutral {
		return
	}
	if j.learns && (said == failure || e.load.trouble.any()) {
		e.load.blame(c.opts.Now(), said == failure, j.forget)
	}
	if j.detects {
		c.note(e, j, said, 0)
	}
}

// note counts for outlier detection what the end of a call said, which is not neutral; took is 0 if the call was not timed.
func (c *Channel) note(e *endpoint, j *judge, said outcome, took int64) {
	streak := e.load.count(said == failure, took)
	if streak != 0 && j.streak != 0 && streak%j.streak == 0 && c.suspect != nil {
		c.suspect(e)
	}
}
