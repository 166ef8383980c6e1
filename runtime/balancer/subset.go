package balancer

import (
	"math"
	"slices"
)

// subset returns size of the endpoints, in the order of the list; all of them if size is 0 or not below their number. It is
// the rendezvous choice of gRFC A68: each endpoint has a rank by its identity and the client's salt alone, and the lowest
// ranks are taken. So each client has a choice of its own, the choices of many clients are even, the order of the list
// does not matter, and an endpoint that comes or goes changes one other at most.
func subset(list []*endpoint, size int, salt uint64) []*endpoint {
	if size == 0 || size >= len(list) {
		return list
	}
	chosen, _, _ := chooseSubset(make([]*endpoint, 0, size), list, size, salt)
	return chosen
}

// chooseSubset appends size of the endpoints, of which there are more, to room, which may share its memory with list. limit is the
// highest rank among them; tied is whether others have it too.
func chooseSubset(room, list []*endpoint, size int, salt uint64) (chosen []*endpoint, limit uint64, tied bool) {
	ranks := make([]uint64, len(list))
	for i, e := range list {
		ranks[i] = rank(e.hash, salt)
	}
	limit, below := lowest(ranks, size)
	ties := size - below // endpoints of one identity have one rank: the first of them are taken
	chosen = room
	for i, e := range list {
		switch {
		case ranks[i] < limit:
			chosen = append(chosen, e)
		case ranks[i] == limit && ties > 0:
			chosen = append(chosen, e)
			ties--
		case ranks[i] == limit:
			tied = true
		}
	}
	return chosen, limit, tied
}

// rank mixes the hash of an identity with the salt (the finalizer of SplitMix64: a bijection, so that different hashes keep
// different ranks).
func rank(hash, salt uint64) uint64 {
	x := hash ^ salt
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// lowest returns the greatest of the size lowest ranks, and how many are below it. Ranks are as good as random, so that it is
// known before where about that one lies, and only the few ranks there are sorted.
func lowest(ranks []uint64, size int) (limit uint64, below int) {
	n := float64(len(ranks))
	share := (float64(size) - 0.5) / n
	width := 4*math.Sqrt(share*(1-share)/n) + 4/n // four standard deviations
	from, to := fraction(share-width), fraction(share+width)
	var near []uint64
	for _, r := range ranks {
		switch {
		case r < from:
			below++
		case r <= to:
			near = append(near, r)
		}
	}
	if at := size - 1 - below; at >= 0 && at < len(near) {
		limit = nth(near, at)
	} else { // once in some ten thousand times
		limit = nth(slices.Clone(ranks), size-1)
	}
	below = 0
	for _, r := range ranks {
		if r < limit {
			below++
		}
	}
	return limit, below
}

// fraction returns that part of 2^64.
func fraction(of float64) uint64 {
	switch {
	case of <= 0:
		return 0
	case of >= 1:
		return math.MaxUint64
	default:
		return uint64(of * (1 << 64))
	}
}

// nth returns the element that would stand at index n if xs were sorted; it changes the order of xs. It takes linear time
// (quickselect): the elements are as good as random, so that the middle one is as good a pivot as any.
func nth(xs []uint64, n int) uint64 {
	for len(xs) > 1 {
		pivot := xs[len(xs)/2]
		i, j := 0, len(xs)-1
		for i <= j {
			for xs[i] < pivot {
				i++
			}
			for xs[j] > pivot {
				j--
			}
			if i <= j {
				xs[i], xs[j] = xs[j], xs[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			xs = xs[:j+1]
		case n >= i:
			xs, n = xs[i:], n-i
		default:
			return pivot
		}
	}
	return xs[0]
}
