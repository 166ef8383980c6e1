package balancer

import "slices"

// subset returns size of the endpoints, in the order of the list; all of them if size is 0 or not below their number. It is
// the rendezvous choice of gRFC A68: each endpoint has a rank by its identity and the client's salt alone, and the lowest
// ranks are taken. So each client has a choice of its own, the choices of many clients are even, the order of the list
// does not matter, and an endpoint that comes or goes changes one other at most.
func subset(list []*endpoint, size int, salt uint64) []*endpoint {
	if size == 0 || size >= len(list) {
		return list
	}
	ranks := make([]uint64, len(list))
	for i, e := range list {
		ranks[i] = rank(e.hash, salt)
	}
	limit := nth(slices.Clone(ranks), size-1)
	below := 0
	for _, r := range ranks {
		if r < limit {
			below++
		}
	}
	chosen := make([]*endpoint, 0, size)
	ties := size - below // endpoints of one identity have one rank: the first of them are taken
	for i, e := range list {
		switch {
		case ranks[i] < limit:
			chosen = append(chosen, e)
		case ranks[i] == limit && ties > 0:
			chosen = append(chosen, e)
			ties--
		}
	}
	return chosen
}

// rank mixes the hash of an identity with the salt (the finalizer of SplitMix64: a bijection, so that different hashes keep
// different ranks).
func rank(hash, salt uint64) uint64 {
	x := hash ^ salt
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
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
