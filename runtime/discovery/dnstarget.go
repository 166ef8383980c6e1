package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	dnsEvery    = 30 * time.Second
	dnsEveryMin = time.Second
	dnsEveryMax = 24 * time.Hour
	dnsPort     = 443 // as in gRPC's own resolver
)

// dnsQuestion is what a target of dnspoll says.
type dnsQuestion struct {
	target string
	name   string // to look up; a dot at its end keeps the search domains out
	port   uint16 // 0 with srv
	srv    bool
	every  time.Duration
	server string // host:port of the DNS server; "" for the system's
	// serverName is what TLS verifies: name:port, without a port with srv.
	serverName string
}

func parseDNSTarget(target Target) (dnsQuestion, error) {
	p := dnsParser{q: dnsQuestion{target: target.String(), every: dnsEvery}}
	u := target.URL
	if u.Opaque != "" {
		p.problem(u.Opaque, "lacks the slashes after the scheme; write dnspoll:///%s", u.Opaque)
		return dnsQuestion{}, &ConfigError{Target: p.q.target, Problems: p.problems}
	}
	p.query(u.RawQuery)
	p.server(u)
	if text := target.Endpoint(); p.q.srv {
		p.service(text)
	} else {
		p.host(text)
	}
	p.problems = append(p.problems, fragmentProblems(target)...)
	if len(p.problems) > 0 {
		return dnsQuestion{}, &ConfigError{Target: p.q.target, Problems: p.problems}
	}
	return p.q, nil
}

type dnsParser struct {
	q        dnsQuestion
	problems []Problem
}

func (p *dnsParser) problem(value, format string, args ...any) {
	p.problems = append(p.problems, Problem{Value: value, Text: fmt.Sprintf(format, args...)})
}

func (p *dnsParser) query(raw string) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		p.problem("?"+raw, "is no query: %s; write ?every=15s", cause(err))
		return
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		value := values[key][0]
		if len(values[key]) > 1 {
			p.problem(key, "stands there %d times; remove all but one", len(values[key]))
			continue
		}
		switch key {
		case "every":
			d, err := time.ParseDuration(value)
			if err != nil || d < dnsEveryMin || d > dnsEveryMax {
				p.problem("every="+value, "is no time between lookups; write a duration from 1s to 24h, such as every=15s")
				continue
			}
			p.q.every = d
		case "srv":
			if value != "true" && value != "false" {
				p.problem("srv="+value, "is neither true nor false; write srv=true to ask for SRV records")
				continue
			}
			p.q.srv = value == "true"
		default:
			p.problem(key, "is no option of dnspoll; write every or srv")
		}
	}
}

// server reads the DNS server of the URL.
func (p *dnsParser) server(u url.URL) {
	if u.User != nil {
		p.problem(u.User.Username(), "stands before an at sign, and a DNS server has no user; remove it")
	}
	if u.Host == "" {
		return
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "53"
	}
	canonical, problem := parseAddress(net.JoinHostPort(host, port))
	if problem != "" {
		p.problem(u.Host, "is no DNS server: it %s; write dnspoll://10.0.0.53:53/name:port, or three slashes for the system's",
			problem)
		return
	}
	p.q.server = canonical
}

// host reads name, name:port, or an address that stands for itself.
func (p *dnsParser) host(text string) {
	if text == "" {
		p.problem("", "the name to look up is missing; write dnspoll:///inventory.example:443")
		return
	}
	address := withPort(text)
	canonical, problem := parseHostPort(address)
	switch {
	case problem != "":
		p.problem(text, "%s", problem)
		return
	case strings.HasPrefix(text, "_"):
		p.problem(text, "looks like the name of SRV records, which have no addresses; add ?srv=true, without a port")
		return
	}
	host, port, _ := net.SplitHostPort(canonical)
	n, _ := strconv.ParseUint(port, 10, 16) // checked above
	p.q.name, p.q.port = host, uint16(n)
	p.q.serverName = net.JoinHostPort(strings.TrimSuffix(host, "."), port)
}

// withPort adds gRPC's default port to a name or an address that has none.
func withPort(text string) string {
	port := strconv.Itoa(dnsPort)
	if ip, err := netip.ParseAddr(text); err == nil {
		return net.JoinHostPort(ip.String(), port)
	}
	if !strings.Contains(text, ":") || strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		return text + ":" + port
	}
	return text
}

// service reads the name of SRV records.
func (p *dnsParser) service(text string) {
	switch {
	case text == "":
		p.problem("", "the name to look up is missing; write dnspoll:///_grpc._tcp.example?srv=true")
		return
	case strings.Contains(text, ":"):
		p.problem(text, "has a port, and SRV records give the ports; remove it, or srv=true")
		return
	}
	name, problem := parseHost(text)
	if problem != "" {
		p.problem(text, "%s", problem)
		return
	}
	p.q.name = name
	server := strings.TrimSuffix(name, ".")
	for strings.HasPrefix(server, "_") {
		_, rest, ok := strings.Cut(server, ".")
		if !ok {
			p.problem(text, "has no domain after its labels; write _grpc._tcp.example")
			return
		}
		server = rest
	}
	p.q.serverName = server
}
