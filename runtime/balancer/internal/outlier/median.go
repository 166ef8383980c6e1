package outlier

// lowerMedian returns the middle value of v, of an even number the lower one of the two, and reorders v. For an
// endpoint above it that is the median of its peers alone, or a little more. It takes linear time on average (Hoare's
// selection, with the median of three as pivot).
func lowerMedian(v []float32) float32 {
	k, lo, hi := (len(v)-1)/2, 0, len(v)-1
	for lo < hi {
		pivot := middle(v[lo], v[lo+(hi-lo)/2], v[hi])
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}

func middle(a, b, c float32) float32 { return max(min(a, b), min(max(a, b), c)) }
