package balancer

import (
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/balancer/internal/outlier"
	"github.com/goresilient/goresilient/runtime/policy"
)

// detection runs outlier detection over the endpoints that the pool is connected to. What it knows of each is the
// endpoint's, and outlives it.
//
// Channel.mu guards it. It has a timer while it is on and the pool runs.
type detection struct {
	pool     *pool
	detector *outlier.Detector // nil: off
	cfg      outlier.Config
	interval time.Duration
	timer    wakeup
	joined   []*endpoint // of a sweep; kept for the next
}

// detects tells whether cfg asks for detection.
func (c Config) detects() bool {
	return c.OutlierDetection != nil && !policy.Value(c.OutlierDetection.Disabled)
}

// settings returns what the policy says, its defaults filled in.
func (c Config) settings() (cfg outlier.Config, interval time.Duration) {
	o := policy.Complete(&policy.Service{OutlierDetection: c.OutlierDetection}).OutlierDetection
	return outlier.Config{
		Observe:                policy.Value(o.Observe),
		BaseEjectionTime:       policy.Value(o.BaseEjectionTime),
		MaxEjectionTime:        policy.Value(o.MaxEjectionTime),
		MaxEjectedRatio:        policy.Value(o.MaxEjectedRatio),
		ConsecutiveFailures:    uint32(policy.Value(o.ConsecutiveFailures)),
		FailureRatio:           policy.Value(o.FailureRatio),
		SuccessRateStdevFactor: policy.Value(o.SuccessRateStdevFactor),
		LatencyFactor:          policy.Value(o.LatencyFactor),
		MinimumCalls:           uint32(policy.Value(o.MinimumCalls)),
		MinimumEndpoints:       uint32(policy.Value(o.MinimumEndpoints)),
	}, policy.Value(o.Interval)
}

// configure takes the settings of c. Who is out stays out, unless detection is off, or only observes.
func (d *detection) configure(c Config) {
	if !c.detects() {
		d.stop()
		return
	}
	cfg, interval := c.settings()
	switch {
	case d.detector == nil:
		d.detector = outlier.NewDetector(cfg)
		for e := range d.pool.connected() {
			d.detector.Join(&e.outlier)
			d.stand(e)
		}
	case d.cfg != cfg:
		d.detector.Configure(cfg)
		for e := range d.pool.connected() {
			d.stand(e)
		}
	}
	d.cfg = cfg
	if d.interval != interval || !d.timer.isSet() {
		d.interval = interval
		d.timer.set(d.pool.ch, interval, d.sweep)
	}
}

// join has an endpoint take part that the pool begins to connect to. It is not READY.
func (d *detection) join(e *endpoint) {
	if d.detector != nil {
		d.detector.Join(&e.outlier)
	}
	s := d.standing(e)
	e.ejected, e.probation = s == outlier.Ejected, s == outlier.OnProbation
	e.spread()
}

// leave ends that.
func (d *detection) leave(e *endpoint) {
	if d.detector != nil {
		d.detector.Leave(&e.outlier)
	}
}

// standing returns what may be sent to an endpoint.
func (d *detection) standing(e *endpoint) outlier.Standing {
	if d.detector == nil {
		return outlier.Well
	}
	return d.detector.Standing(&e.outlier)
}

// stand carries out what the detector says of an endpoint that is in a group.
func (d *detection) stand(e *endpoint) {
	s := d.standing(e)
	if ejected := s == outlier.Ejected; ejected != e.ejected {
		g := e.group
		g.leave(e)
		e.ejected = ejected
		g.join(e)
		if e.is(connectivity.Ready) {
			d.pool.left = d.pool.left || ejected
			d.pool.grown = d.pool.grown || !ejected
		}
		if !ejected {
			e.load.streak.Store(0) // what has led to the ejection is paid for
		}
		d.pool.ch.touch()
	}
	if probation := s == outlier.OnProbation; probation != e.probation {
		e.probation = probation
		e.spread()
		d.pool.grown = true // the picker is to look at shares, or no longer
	}
}

// probing tells whether an endpoint may be on probation.
func (d *detection) probing() bool {
	return d.detector != nil && d.detector.Out() > 0 && d.cfg.LatencyFactor > 0
}

// sweep judges all endpoints by what was counted in the interval.
func (d *detection) sweep() {
	d.joined = d.joined[:0]
	for e := range d.pool.connected() {
		e.outlier.Record(e.load.sample())
		d.joined = append(d.joined, e)
	}
	d.detector.Sweep(d.pool.ch.opts.Now(), len(d.joined),
		func(i int) *outlier.State { return &d.joined[i].outlier },
		func(i int, _ outlier.Change) { d.stand(d.joined[i]) })
	clear(d.joined)
	d.timer.set(d.pool.ch, d.interval, d.sweep)
	d.pool.follow()
}

// suspected is called in Done, where Channel.mu must not be taken, after as many failures in a row at e as eject.
func (c *Channel) suspected(e *endpoint) {
	c.opts.AfterFunc(0, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p, ok := c.serving().(*pool); ok {
			p.detection.consecutive(e)
		}
	})
}

// consecutive looks at an endpoint that has just failed so often in a row; Channel.mu is held.
func (d *detection) consecutive(e *endpoint) {
	if d.pool.closed || d.detector == nil || e.group == nil {
		return
	}
	if _, ok := d.detector.Consecutive(d.pool.ch.opts.Now(), &e.outlier, e.load.streak.Load()); ok {
		d.stand(e)
		d.pool.follow()
	}
}

// stop turns detection off: everybody is well, and nothing is remembered.
func (d *detection) stop() {
	d.timer.stop()
	if d.detector == nil {
		return
	}
	d.detector = nil
	for e := range d.pool.connected() {
		e.outlier = outlier.State{}
		d.stand(e)
	}
}
