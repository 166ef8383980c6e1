package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	unixPrefix     = "unix:"
	abstractPrefix = "unix-abstract:"
)

// parseAddress returns the canonical form of an address, by which two spellings of one address are seen to be equal,
// or what is wrong with it: problem is "" if nothing is.
func parseAddress(s string) (address, problem string) {
	if s == "" {
		return "", "an address is missing; write host:port, [v6]:port or unix:/path"
	}
	if path, ok := strings.CutPrefix(s, unixPrefix); ok {
		return parseUnix(s, path)
	}
	if name, ok := strings.CutPrefix(s, abstractPrefix); ok {
		switch {
		case name == "":
			return "", "has no name; write unix-abstract:NAME"
		case strings.Contains(name, ":/"):
			return "", `cannot be dialled, since gRPC takes ":/" for a URL; choose a name without it`
		}
		return s, ""
	}
	if strings.Contains(s, "://") {
		return "", "is a whole target, which stands alone and not in a list; write host:port"
	}
	return parseHostPort(s)
}

func parseUnix(s, path string) (address, problem string) {
	switch {
	case strings.HasPrefix(path, "//"):
		return "", fmt.Sprintf("is not how a list writes a socket; write unix:/%s", strings.TrimLeft(path, "/"))
	case !strings.HasPrefix(path, "/"):
		return "", "is no absolute path; write unix:/run/NAME.sock"
	case path == "/":
		return "", "names no socket; write unix:/run/NAME.sock"
	}
	return s, ""
}

func parseHostPort(s string) (address, problem string) {
	host, port, problem := splitHostPort(s)
	if problem != "" {
		return "", problem
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Sprintf("has the port %q; write a number from 1 to 65535", port)
	}
	if !strings.HasPrefix(s, "[") {
		if host, problem = parseHost(host); problem != "" {
			return "", problem
		}
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), ""
}

// splitHostPort takes the brackets off an IPv6 host, which it checks.
func splitHostPort(s string) (host, port, problem string) {
	if strings.HasPrefix(s, "[") {
		return splitBrackets(s)
	}
	switch strings.Count(s, ":") {
	case 0:
		return "", "", fmt.Sprintf("has no port; write %s:443, with the port of the server", s)
	case 1:
		host, port, _ = strings.Cut(s, ":")
		return host, port, ""
	}
	last := strings.LastIndexByte(s, ':')
	if ip, err := netip.ParseAddr(s[:last]); err == nil && ip.Is6() {
		return "", "", fmt.Sprintf("has an IPv6 address without brackets; write [%s]:%s, or [%s]:443 if that was no port",
			s[:last], s[last+1:], s)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", "", fmt.Sprintf("is an IPv6 address without brackets; write [%s]:443, with the port of the server", s)
	}
	return "", "", "has too many colons; write host:port or [v6]:port"
}

func splitBrackets(s string) (host, port, problem string) {
	host, rest, ok := strings.Cut(s[1:], "]")
	ip, err := netip.ParseAddr(host)
	switch {
	case !ok:
		return "", "", "lacks the closing bracket; write [v6]:port"
	case err != nil || !ip.Is6() || strings.Trim(ip.Zone(), hostCharacters) != "":
		return "", "", fmt.Sprintf("has %q in brackets, which is no IPv6 address; write [v6]:port or host:port", host)
	case rest == "":
		return "", "", fmt.Sprintf("has no port; write %s:443, with the port of the server", s)
	case rest[0] != ':':
		return "", "", fmt.Sprintf("has %q after the bracket; write [%s]:port", rest, host)
	}
	return ip.String(), rest[1:], ""
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// parseHost checks a name or an IPv4 address.
func parseHost(host string) (canonical, problem string) {
	if host == "" {
		return "", "has no host; write localhost:port for this machine"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ""
	}
	for _, c := range host {
		if !strings.ContainsRune(hostCharacters, c) {
			return "", fmt.Sprintf("has %q in its host; write letters, digits, dots and hyphens (punycode for other letters)", c)
		}
	}
	bare := strings.TrimSuffix(host, ".")
	for label := range strings.SplitSeq(bare, ".") {
		if label == "" || len(label) > 63 || len(host) > 254 {
			return "", "is no host name, which has 1 to 63 letters between dots, and 253 at most; write host:port"
		}
	}
	// A name whose last label is a number is a mistyped address: no top-level domain is one (RFC 3696, section 2).
	if last := bare[strings.LastIndexByte(bare, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return "", "is no IPv4 address; write four numbers from 0 to 255, without leading zeros"
	}
	return strings.ToLower(host), ""
}

// dialAddress returns an address in the form in which grpc's transport dials it, and the name that TLS verifies and
// the :authority header carries for it: its own host and port, or "" where it has none, as with a socket.
func dialAddress(address string) (dial, serverName string) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		// grpc parses this as a URL: a '%', '?' or '#' of the path has to be escaped.
		return unixPrefix + (&url.URL{Path: path}).EscapedPath(), ""
	}
	if name, ok := strings.CutPrefix(address, abstractPrefix); ok {
		return unixPrefix + "@" + name, "" // Go's spelling of Linux's abstract names
	}
	return address, authority(address)
}

// authority is the :authority header for an address: without an IPv6 zone, which means nothing to the server (RFC
// 6874, section 4); "" if the address has none.
func authority(address string) string {
	if strings.HasPrefix(address, unixPrefix) || strings.HasPrefix(address, abstractPrefix) {
		return ""
	}
	canonical, problem := parseHostPort(address)
	if problem != "" {
		return ""
	}
	if zone := strings.IndexByte(canonical, '%'); zone >= 0 {
		return canonical[:zone] + canonical[strings.IndexByte(canonical, ']'):]
	}
	return canonical
}
