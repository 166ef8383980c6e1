package balancer

// alias draws indexes in proportion to weights, in constant time (Vose, "A linear algorithm for generating random numbers
// with a given distribution", 1991). It is immutable.
type alias struct {
	weights []uint32
	columns []column
}

// column is drawn as often as any other. It stands for its own index as far as keep goes, of 2^32, and for other beyond.
type column struct{ keep, other uint32 }

// newAlias returns a table of the weights, none of which is 0. It keeps the slice.
func newAlias(weights []uint32) *alias {
	n := len(weights)
	a := &alias{weights: weights, columns: make([]column, n)}
	var sum float64
	for _, w := range weights {
		sum += float64(w)
	}
	// parts are in units of a column. Indexes with less than one wait in small, from the front of the array; those with more in
	// large, from its end.
	parts, order := make([]float64, n), make([]uint32, n)
	small, large := 0, n
	for i, w := range weights {
		parts[i] = float64(w) / sum * float64(n)
		if parts[i] < 1 {
			order[small] = uint32(i)
			small++
		} else {
			large--
			order[large] = uint32(i)
		}
	}
	for small > 0 && large < n {
		small--
		i, j := order[small], order[large]
		a.columns[i] = column{keep: uint32(parts[i] * (1 << 32)), other: j}
		parts[j] -= 1 - parts[i]
		if parts[j] < 1 {
			large++
			order[small] = j
			small++
		}
	}
	for _, i := range order[:small] { // what rounding has left over
		a.columns[i] = column{keep: 1<<32 - 1, other: i}
	}
	for _, i := range order[large:] {
		a.columns[i] = column{keep: 1<<32 - 1, other: i}
	}
	return a
}

// draw maps evenly distributed bits to an index.
func (a *alias) draw(bits uint64) int {
	i := scale(uint32(bits>>32), len(a.columns))
	if c := a.columns[i]; uint32(bits) >= c.keep {
		return int(c.other)
	}
	return i
}
