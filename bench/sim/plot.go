package sim

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"
)

// Plot returns a picture of a scenario in SVG: on the left the quantiles of latency, on the right its p99 second by second.
func Plot(s Scenario, rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="60" y="22" font-size="15">%s: %s</text>`+"\n", s.Name, html.EscapeString(s.Title))
	latency := latencyAxis(rows)
	quantiles := &panel{left: 60, right: 430, y: latency, x: axis{low: 0, high: 3, at: nines}}
	seconds := &panel{left: 480, right: 810, y: latency, x: axis{low: 0, high: s.Length.Seconds()}}
	for t := 0.0; t <= s.Length.Seconds(); t += 5 {
		seconds.x.at = append(seconds.x.at, tick{t, fmt.Sprintf("%.0f s", t)})
	}
	quantiles.frame(&b, "latency by quantile")
	seconds.frame(&b, "p99 by the second of the call")
	for k, row := range rows {
		quantiles.line(&b, k, row.Result.curve())
		seconds.line(&b, k, row.Result.timeline())
		y := plotTop + 10 + 19*k
		fmt.Fprintf(&b, `<line x1="825" x2="850" y1="%d" y2="%d" %s/>`+"\n", y, y, stroke(k))
		fmt.Fprintf(&b, `<text x="856" y="%d">%s</text>`+"\n", y+4, html.EscapeString(row.Contender.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const (
	plotWidth, plotHeight = 1040, 400
	plotTop, plotBottom   = 60, 360
)

// panel is one diagram; axis maps values to it, on a logarithmic scale if log.
type panel struct {
	left, right int
	x, y        axis
}

type axis struct {
	low, high float64
	log       bool
	at        []tick
}

type tick struct {
	value float64
	label string
}

type point struct{ x, y float64 }

// nines is where quantiles stand: each nine takes as much room.
var nines = []tick{{nine(0.5), "50 %"}, {nine(0.9), "90 %"}, {nine(0.99), "99 %"}, {nine(0.999), "99.9 %"}}

func nine(q float64) float64 { return -math.Log10(1 - q) }

func (a axis) scale(v float64) float64 {
	if a.log {
		return (math.Log(v) - math.Log(a.low)) / (math.Log(a.high) - math.Log(a.low))
	}
	return (v - a.low) / (a.high - a.low)
}

// latencyAxis holds all latencies that are drawn, from 1 ms.
func latencyAxis(rows []Row) axis {
	low, high := math.Inf(1), 0.0
	for _, row := range rows {
		for _, p := range slices.Concat(row.Result.curve(), row.Result.timeline()) {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	a := axis{low: max(1, low) / 1.1, high: max(2, high) * 1.1, log: true}
	for decade := 1.0; decade < a.high; decade *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := decade * m; v > a.low && v < a.high {
				a.at = append(a.at, tick{v, fmt.Sprintf("%.0f ms", v)})
			}
		}
	}
	return a
}

func (p *panel) place(x, y float64) (float64, float64) {
	return float64(p.left) + p.x.scale(x)*float64(p.right-p.left), plotBottom - p.y.scale(y)*(plotBottom-plotTop)
}

func (p *panel) frame(b *strings.Builder, title string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555">%s</text>`+"\n", p.left, plotTop-10, title)
	for _, t := range p.y.at {
		_, y := p.place(p.x.low, t.value)
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", p.left, p.right, y, y)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" font-size="10">%s</text>`+"\n", p.left-4, y+3, t.label)
	}
	for _, t := range p.x.at {
		x, _ := p.place(t.value, p.y.high)
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/>`+"\n", x, x, plotTop, plotBottom)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="10">%s</text>`+"\n", x, plotBottom+15, t.label)
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#888"/>`+"\n",
		p.left, plotTop, p.right-p.left, plotBottom-plotTop)
}

func (p *panel) line(b *strings.Builder, k int, points []point) {
	fmt.Fprintf(b, `<polyline fill="none" %s points="`, stroke(k))
	for _, at := range points {
		x, y := p.place(at.x, max(at.y, p.y.low))
		fmt.Fprintf(b, "%.1f,%.1f ", x, y)
	}
	b.WriteString(`"/>` + "\n")
}

// stroke is how the k-th contender is drawn: the first is the one to look at.
func stroke(k int) string {
	colours := []string{"#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#bcbd22", "#e377c2", "#7f7f7f"}
	width, dash := 1.2, ""
	if k == 0 {
		width = 2.5
	}
	if k >= len(colours) {
		dash = ` stroke-dasharray="5 3"`
	}
	return fmt.Sprintf(`stroke="%s" stroke-width="%.1f"%s`, colours[k%len(colours)], width, dash)
}

// curve is latency in milliseconds by nines.
func (r *Result) curve() []point {
	var out []point
	for x := 0.0; x <= 3.001; x += 0.1 {
		out = append(out, point{x, millis(r.Quantile(1 - math.Pow(10, -x)))})
	}
	return out
}

// timeline is the p99 of each second, in milliseconds.
func (r *Result) timeline() []point {
	var out []point
	for i, latencies := range r.seconds {
		if len(latencies) > 0 {
			slices.Sort(latencies)
			out = append(out, point{float64(i) + 0.5, millis(quantile(latencies, 0.99))})
		}
	}
	return out
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
