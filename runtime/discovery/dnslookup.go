package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// lookup returns the endpoints that DNS has for the question, without doublets. stale is why they may be out of date
// though there are some.
func (s *dnsSource) lookup(ctx context.Context, hosts *srvHosts) (found []Entry, stale, err error) {
	if s.srv {
		return s.lookupSRV(ctx, hosts)
	}
	addresses, err := s.resolver.LookupNetIP(ctx, "ip", s.name)
	if err == nil && len(addresses) == 0 {
		err = noSuchHost(s.name)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("target %q: cannot look up %s: %w; check the name, and the DNS server",
			s.target, s.name, err)
	}
	for _, a := range distinct(addresses) {
		address := netip.AddrPortFrom(a, s.port).String()
		found = append(found, Entry{Key: address, Endpoint: Endpoint{
			Addresses: []string{address}, Weight: 1, serverName: s.serverName,
		}})
	}
	return found, nil, nil
}

func noSuchHost(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// distinct keeps the order of the first occurrences.
func distinct(addresses []netip.Addr) []netip.Addr {
	var out []netip.Addr
	seen := make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		if a = a.Unmap(); !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}

// srvHosts remembers the addresses of hosts that SRV records named last, for when one cannot be looked up.
type srvHosts map[string][]netip.Addr

const srvParallel = 8 // lookups of hosts at a time

func (s *dnsSource) lookupSRV(ctx context.Context, hosts *srvHosts) (found []Entry, stale, err error) {
	_, records, err := s.resolver.LookupSRV(ctx, "", "", s.name)
	if len(records) > 0 {
		err = nil // net reports records that it dropped beside those that it kept
	}
	if err != nil {
		return nil, nil, fmt.Errorf("target %q: cannot look up the SRV records of %s: %w; check the name, and the DNS server",
			s.target, s.name, err)
	}
	// One host, ".", says that there is no such service (RFC 2782).
	records = slices.DeleteFunc(slices.Clone(records), func(r *net.SRV) bool { return r.Target == "." || r.Port == 0 })
	now, failed := s.lookupHosts(ctx, records)
	for host := range failed {
		if last, ok := (*hosts)[host]; ok {
			now[host] = last
		}
	}
	*hosts = now
	if len(failed) > 0 {
		stale = s.hostsError(failed)
	}
	found = s.srvEntries(records, now)
	if len(found) == 0 && stale != nil {
		return nil, nil, stale
	}
	return found, stale, nil
}

// lookupHosts returns the addresses of the hosts that records name, and why those that are missing are.
func (s *dnsSource) lookupHosts(ctx context.Context, records []*net.SRV) (srvHosts, map[string]error) {
	found, failed := make(srvHosts), make(map[string]error)
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, srvParallel)
	asked := make(map[string]bool)
	for _, r := range records {
		if asked[r.Target] {
			continue
		}
		asked[r.Target] = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			addresses, err := s.resolver.LookupNetIP(ctx, "ip", r.Target)
			if err == nil && len(addresses) == 0 {
				err = noSuchHost(r.Target)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[r.Target] = err
				return
			}
			// Sorted: the addresses are the identity of the endpoint, and their order in the answer is chance.
			addresses = distinct(addresses)
			slices.SortFunc(addresses, netip.Addr.Compare)
			found[r.Target] = addresses
		})
	}
	wg.Wait()
	return found, failed
}

func (s *dnsSource) hostsError(failed map[string]error) error {
	names := make([]string, 0, len(failed))
	for host := range failed {
		names = append(names, host)
	}
	slices.Sort(names)
	errs := make([]error, len(names))
	for i, host := range names {
		errs[i] = failed[host]
	}
	return fmt.Errorf("target %q: the SRV records of %s name hosts that cannot be looked up, %s: %w; "+
		"mend the records, or the DNS server", s.target, s.name, strings.Join(names, ", "), errors.Join(errs...))
}

// srvEntries makes an endpoint of each record. Records of the same host and port are one, the best of them: its key is
// its address.
func (s *dnsSource) srvEntries(records []*net.SRV, hosts srvHosts) []Entry {
	var priorities []uint16
	for _, r := range records {
		priorities = append(priorities, r.Priority)
	}
	slices.Sort(priorities)
	priorities = slices.Compact(priorities)
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) })
	var found []Entry
	seen := make(map[string]bool)
	for _, r := range records {
		if len(hosts[r.Target]) == 0 {
			continue
		}
		rank, _ := slices.BinarySearch(priorities, r.Priority)
		e := Endpoint{
			Weight: max(uint32(r.Weight), 1), Priority: uint32(min(rank, maxPriority)),
			serverName: net.JoinHostPort(s.serverName, fmt.Sprint(r.Port)),
		}
		for _, a := range hosts[r.Target] {
			e.Addresses = append(e.Addresses, netip.AddrPortFrom(a, r.Port).String())
		}
		if key := e.ID(); !seen[key] {
			seen[key] = true
			found = append(found, Entry{Key: key, Endpoint: e})
		}
	}
	return found
}
