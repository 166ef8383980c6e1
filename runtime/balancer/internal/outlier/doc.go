// Package outlier decides which endpoints do so much worse than their peers that calls should stay away: outlier
// detection after gRFC A50, with failures in a row and latency added. It is a state machine: it takes the time and
// what was counted, and starts nothing.
//
//	d := outlier.NewDetector(cfg)
//	d.Join(&e.outlier) // each endpoint that takes part
//	…
//	if c, ok := d.Consecutive(now, &e.outlier, streak); ok { … } // after failures in a row, at any time
//	…
//	for _, e := range endpoints { // every cfg.Interval
//		e.outlier.Record(e.takeSample())
//	}
//	d.Sweep(now, len(endpoints), func(i int) *outlier.State { return &endpoints[i].outlier }, changed)
//
// There are two ways to be out. An ejected endpoint gets no calls until its time is over; ejections that follow each
// other last longer and longer. An endpoint that is only slow goes on probation: it keeps a trickle of calls, by
// which it shows when it is well again. Both together never exceed the allowed share.
package outlier
