package balancer

import "time"

// wakeup is one timer, which can be set anew at will: what was to be called before is not called any more, even where it
// waits for Channel.mu already. The zero value is not set. Channel.mu guards it.
type wakeup struct {
	timer Timer // nil: not set
	turn  uint32
}

// set calls f after d, with Channel.mu held.
func (w *wakeup) set(ch *Channel, d time.Duration, f func()) {
	w.stop()
	turn := w.turn
	w.timer = ch.opts.AfterFunc(d, func() {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if w.turn == turn {
			w.timer = nil
			f()
		}
	})
}

func (w *wakeup) isSet() bool { return w.timer != nil }

func (w *wakeup) stop() {
	w.turn++
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
