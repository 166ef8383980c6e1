package latency

import "time"

// weights are faded samples by bucket. An octave that never had one is nil.
type weights [octaves]*[perOctave]float32

// negligible is the weight below which a sample is forgotten: there is no need to carry it through ever smaller
// numbers.
const negligible = 1e-3

// octave returns the weights of an octave.
func (w *weights) octave(octave int) *[perOctave]float32 {
	if w[octave] == nil {
		w[octave] = new([perOctave]float32)
	}
	return w[octave]
}

// at returns the weight of a bucket.
func (w *weights) at(octave, bucket int) float64 {
	if w[octave] == nil {
		return 0
	}
	return float64(w[octave][bucket])
}

func (w *weights) total() float64 {
	var sum float64
	for _, o := range w {
		if o == nil {
			continue
		}
		for _, v := range o {
			sum += float64(v)
		}
	}
	return sum
}

func (w *weights) scale(factor float64) {
	for _, o := range w {
		if o == nil {
			continue
		}
		for i := range o {
			if o[i] *= float32(factor); o[i] < negligible {
				o[i] = 0
			}
		}
	}
}

// productLimit returns the quantile q of the durations of which some are known and of others only that they are
// longer, and the weight of all: the first duration at which the product-limit estimate of the share that lasts
// longer is 1-q or less. It is the longest duration if there is no such.
func productLimit(known, censored *weights, q float64) (d time.Duration, samples uint64) {
	total := known.total() + censored.total()
	left, longer := total, 1.0 // the weight that lasts at least as long as the bucket, the share that lasts longer
	for octave := range octaves {
		if known[octave] == nil && censored[octave] == nil {
			continue
		}
		for bucket := range perOctave {
			ended, gone := known.at(octave, bucket), censored.at(octave, bucket)
			if ended+gone == 0 {
				continue
			}
			d = middleOf(octave, bucket)
			longer *= 1 - ended/left
			if longer <= 1-q+rounding {
				return d, uint64(total + 0.5)
			}
			left -= ended + gone
		}
	}
	return d, uint64(total + 0.5)
}

// rounding is what the sums above may be off by.
const rounding = 1e-9
