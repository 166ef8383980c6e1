package balancer

const defaultPanicRatio = 0.5

func (c Config) panicRatio() float64 {
	if lb := c.LoadBalancing; lb != nil && lb.PanicRatio != nil {
		return *lb.PanicRatio
	}
	return defaultPanicRatio
}

// panics tells whether so few of the members are eligible that those which outlier detection has ejected are to help (Envoy's
// panic threshold). ratio 0: never.
func panics(eligible, members int, ratio float64) bool {
	return float64(eligible) < ratio*float64(members)
}
