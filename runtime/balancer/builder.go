package balancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/serviceconfig"
)

// Name is the name of the policy in a service config: {"loadBalancingConfig":[{"goresilient":{}}]}.
const Name = "goresilient"

func init() { balancer.Register(builder{}) }

type builder struct{}

// lbConfig is the policy's part of a service config. It says nothing: what to do comes with the [Channel].
type lbConfig struct {
	serviceconfig.LoadBalancingConfig `json:"-"`
}

// Name implements [balancer.Builder].
func (builder) Name() string { return Name }

// Build implements [balancer.Builder]. The balancer finds its [Channel] in the first state that it is given.
func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return &instance{cc: cc, opts: opts}
}

// ParseConfig implements [balancer.ConfigParser].
func (builder) ParseConfig(js json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	dec := json.NewDecoder(bytes.NewReader(js))
	dec.DisallowUnknownFields()
	var cfg lbConfig
	err := dec.Decode(&cfg)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return &cfg, nil
		}
		err = errors.New("more than one value")
	}
	return nil, fmt.Errorf(`goresilient: the load balancing config %s is refused: %w; write {"goresilient":{}}`, js, err)
}
