package balancer

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/stripe"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Channel is what outlives the balancers of one grpc channel: the policy, the endpoints with their statistics, and the
// turn of round_robin. One Channel serves one [google.golang.org/grpc.ClientConn]; a balancer that finds it in use by
// another works on its own. Create it with [NewChannel]. There is nothing to close: what runs belongs to grpc's balancer
// and ends with it.
//
// All methods may be called concurrently; none blocks for longer than it takes to go through the endpoints once.
type Channel struct {
	opts Options
	turn *stripe.Sequence // of round_robin
	salt uint64           // of the subset: this client's

	identity    attempt.Channel       // of the records that are the channel's
	only        *attempt.Channel      // whose records the picks look at; nil for all
	records     atomic.Bool           // attempts have records; see [Channel.Record]
	judge       atomic.Pointer[judge] // of the policy that serves
	suspect     func(*endpoint)       // told in Done of failures in a row; see [judge]
	completions sync.Pool             // of *completion
	made        atomic.Uint32         // completions
	total       atomic.Pointer[tally] // of the calls in flight; nil without consistent_hash
	lingering   lingering             // open while there is an owner

	mu       sync.Mutex // guards everything below, the endpoints, and the state of the owner and its policies
	config   Config
	streams  map[*reports]reporting // those that run
	deafened uint32                 // how often all streams were ended
	owner    *instance              // the balancer that works for the channel; nil while grpc's channel is idle
	state    connectivity.State
	updated  bool
	// resolverErr is the last error of the resolver; nil since an update came after it.
	resolverErr error
	changed     chan struct{} // nil while nobody waits

	list       []*endpoint          // in the resolver's order
	listing    listing              // what it says of them
	byID       map[string]*endpoint // the first of those that share an ID
	sharing    bool                 // some in list share one
	generation uint32               // of the last update
	uneven     bool                 // the weights in list differ
	mixed      bool                 // the priorities in list differ
	weighting  uint32               // of the last update that changed one
}

// NewChannel returns a channel without endpoints. cfg must have passed [ValidateConfig].
func NewChannel(cfg Config, opts Options) *Channel {
	opts = opts.withDefaults()
	c := &Channel{
		opts:   opts,
		turn:   stripe.NewSequence(opts.Rand),
		salt:   opts.Rand(),
		config: cfg,
		state:  connectivity.Idle,
		byID:   make(map[string]*endpoint),
	}
	if !opts.AnyRecords {
		c.only = &c.identity
	}
	c.suspect = c.suspected
	c.judge.Store(cfg.judge())
	return c
}

// Record says whether contexts of calls may carry the record of an attempt. While they do not, which is how a channel
// begins, pickers do not look for one.
func (c *Channel) Record(on bool) { c.records.Store(on) }

// Identity is what the records of attempts over the channel name.
func (c *Channel) Identity() *attempt.Channel { return &c.identity }

// defaultConfig is for grpc channels that name the policy without a [Channel]. It listens for health, since it cannot know
// whether the service config asks for checks: where it does not, grpc says READY at once.
func defaultConfig() Config {
	return Config{
		LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}},
		HealthService: new(string),
	}
}

// Configure stores cfg, which must have passed [ValidateConfig]. It takes effect when the resolver's next update reaches
// the balancer; to have it at once, push the last state again.
func (c *Channel) Configure(cfg Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config = cfg
}

type channelKey struct{}

// Attach returns a with the channel in it, for [resolver.State.Attributes]. a may be nil.
func (c *Channel) Attach(a *attributes.Attributes) *attributes.Attributes {
	return a.WithValue(channelKey{}, c)
}

// Equal makes two states of the same channel equal, as grpc compares attributes.
func (c *Channel) Equal(o any) bool {
	other, ok := o.(*Channel)
	return ok && c == other
}

// channelOf returns the channel that was attached to state, nil if none was.
func channelOf(state resolver.State) *Channel {
	c, _ := state.Attributes.Value(channelKey{}).(*Channel)
	return c
}

// claim makes b the balancer that works for the channel, unless there is another.
func (c *Channel) claim(b *instance) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner != nil {
		return false
	}
	c.owner = b
	c.lingering.begin()
	return true
}

// release ends the work of the owner; c.mu is held.
func (c *Channel) release() {
	c.owner = nil
	c.lingering.close()
	c.state = connectivity.Idle
	c.touch()
}

// touch tells those who wait for [Channel.Changed]; c.mu is held.
func (c *Channel) touch() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
