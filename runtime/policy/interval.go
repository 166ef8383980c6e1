package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// interval is the legal range of a number, or of a duration in nanoseconds, as a range tag has it: "[low,high)", where
// a bracket includes its bound, a parenthesis does not, and a missing bound is none. "0|" before it allows 0 as well.
// The zero interval allows everything.
type interval struct {
	low, high         float64
	openLow, openHigh bool
	hasLow, hasHigh   bool
	orZero            bool
	lowText, highText string // as written in the tag
}

func parseInterval(tag string) interval {
	if tag == "" {
		return interval{}
	}
	s, orZero := strings.CutPrefix(tag, "0|")
	iv := interval{orZero: orZero, openLow: s[0] == '(', openHigh: s[len(s)-1] == ')'}
	iv.lowText, iv.highText, _ = strings.Cut(s[1:len(s)-1], ",")
	iv.low, iv.hasLow = parseBound(iv.lowText)
	iv.high, iv.hasHigh = parseBound(iv.highText)
	return iv
}

func parseBound(s string) (bound float64, ok bool) {
	if s == "" {
		return 0, false
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		return v, true
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(fmt.Sprintf("policy: bad range bound %q", s))
	}
	return float64(d), true
}

func (iv interval) contains(v float64) bool {
	switch {
	case v != v: // NaN
		return false
	case iv.orZero && v == 0:
		return true
	case iv.hasLow && (v < iv.low || iv.openLow && v == iv.low):
		return false
	case iv.hasHigh && (v > iv.high || iv.openHigh && v == iv.high):
		return false
	default:
		return true
	}
}

// describe words the interval for an error: "from 2 to 10", "more than 0s", "more than 0.5 and less than 1".
func (iv interval) describe() string {
	var words string
	switch {
	case iv.hasLow && iv.hasHigh && !iv.openLow && !iv.openHigh:
		words = "from " + iv.lowText + " to " + iv.highText
	default:
		words = iv.describeLow()
		if iv.hasHigh {
			words += " and " + iv.describeHigh()
		}
	}
	if iv.orZero {
		return "that is 0, or " + words
	}
	return words
}

func (iv interval) describeLow() string {
	if iv.openLow {
		return "more than " + iv.lowText
	}
	return "at least " + iv.lowText
}

func (iv interval) describeHigh() string {
	if iv.openHigh {
		return "less than " + iv.highText
	}
	return "at most " + iv.highText
}
