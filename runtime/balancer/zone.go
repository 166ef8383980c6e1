package balancer

const defaultZoneRatio = 0.7

// zoneRatio returns min_healthy_ratio of zone_aware.
func (c Config) zoneRatio() float64 {
	if lb := c.LoadBalancing; lb != nil && lb.ZoneAware != nil && lb.ZoneAware.MinHealthyRatio != nil {
		return *lb.ZoneAware.MinHealthyRatio
	}
	return defaultZoneRatio
}

// localShare returns which share of the calls stays in the client's zone: all, as long as at least ratio of the endpoints
// there take calls, and in proportion below that. Where there is nobody elsewhere all of them stay, too.
func localShare(local, members, elsewhere int, ratio float64) float64 {
	switch {
	case local == 0:
		return 0
	case elsewhere == 0:
		return 1
	default:
		return capacity(local, members, ratio)
	}
}

// capacity returns which share of the calls a set of endpoints can carry, of which so many take calls: with ratio of the members
// it is 1, and below that in proportion (Envoy's overprovisioning factor is 1/ratio).
func capacity(takers, members int, ratio float64) float64 {
	if members == 0 {
		return 0
	}
	return min(1, float64(takers)/float64(members)/ratio)
}
