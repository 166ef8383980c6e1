package sim

import (
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/resolver"
)

// drain is how long the calls of a run have to end; one that has not by then counts with its age.
const drain = 10 * time.Second

// run is one run of a scenario.
type run struct {
	scenario Scenario
	clock    *Clock
	random   *rand.Rand // of the arrivals
	servers  []*Server
	clients  []*Client
	calls    []*call
	result   *Result
}

// Run has the clients of the scenario balance by c. The same seed gives the same result, and the same calls to each contender.
func Run(s Scenario, c Contender, seed uint64) *Result {
	r := &run{scenario: s, clock: newClock(), random: rand.New(rand.NewPCG(seed, 1)), result: newResult(s)}
	for i := range s.Servers {
		r.servers = append(r.servers, r.newServer(i, seed))
	}
	state := r.state()
	for i := range s.Clients {
		cl := &Client{run: r}
		cl.cc.client = cl
		random := rand.New(rand.NewPCG(seed, uint64(3_000_000+i)))
		lb, attached := c.build(&cl.cc, r.clock, random)
		cl.lb = lb
		given := state
		given.Attributes = attached
		if err := lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: given}); err != nil {
			panic(err)
		}
		r.clients = append(r.clients, cl)
	}
	r.arrive()
	r.clock.run(origin + int64(s.Length+drain))
	for _, c := range r.calls {
		if !c.ended {
			r.record(c, nil)
		}
	}
	for _, cl := range r.clients {
		cl.lb.Close()
	}
	return r.result
}

func (r *run) newServer(i int, seed uint64) *Server {
	s := &Server{
		clock:   r.clock,
		id:      i,
		random:  rand.New(rand.NewPCG(seed, uint64(1_000_000+i))),
		workers: r.scenario.Workers,
		service: r.scenario.Service,
		mean:    float64(r.scenario.Mean),
		phases:  []Phase{{Speed: 1}},
	}
	if r.scenario.Phases != nil {
		if phases := r.scenario.Phases(i, rand.New(rand.NewPCG(seed, uint64(2_000_000+i)))); len(phases) > 0 {
			s.phases = phases
		}
	}
	if r.scenario.Restarts != nil {
		if at, ok := r.scenario.Restarts(i); ok {
			r.clock.after(int64(at), func() { s.restart(r.scenario.Away) })
		}
	}
	return s
}

// state is what the resolver says: the addresses are the servers' numbers.
func (r *run) state() resolver.State {
	var s resolver.State
	for i := range r.servers {
		a := resolver.Address{Addr: strconv.Itoa(i)}
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{a}})
	}
	return s
}

// arrive makes calls at random moments (a Poisson process whose rate changes), each by a client drawn at random.
func (r *run) arrive() {
	gap := r.random.ExpFloat64() / r.scenario.Peak
	r.clock.after(int64(gap*float64(time.Second)), func() {
		t := time.Duration(r.clock.now - origin)
		if t >= r.scenario.Length {
			return
		}
		if r.random.Float64()*r.scenario.Peak < r.scenario.Rate(t) {
			r.clients[r.random.IntN(len(r.clients))].call(r.scenario.Deadline)
		}
		r.arrive()
	})
}

func (r *run) record(c *call, err error) {
	server := -1
	if c.server != nil {
		server = c.server.id
	}
	r.result.add(time.Duration(c.start-origin), time.Duration(r.clock.now-c.start), server, err == nil)
}
