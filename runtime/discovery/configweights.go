package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

// weightedRoundRobin reads the configuration of gRFC A58.
func weightedRoundRobin(config json.RawMessage) (*policy.LoadBalancing, error) {
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	p := new(policy.WeightedRoundRobin)
	outOfBand, period := false, 10*time.Second // gRFC A58's default
	duration := func(to **time.Duration, least time.Duration) func(string) error {
		return func(s string) error {
			d, err := parseProtoDuration(s)
			*to = policy.Set(max(d, least))
			return err
		}
	}
	own := &period
	err := errors.Join(
		readField(fields, "enableOobLoadReport", func(b bool) error { outOfBand = b; return nil }),
		readField(fields, "oobReportingPeriod", duration(&own, time.Nanosecond)),
		readField(fields, "blackoutPeriod", duration(&p.Blackout, 0)),
		readField(fields, "weightExpirationPeriod", duration(&p.WeightExpiration, time.Nanosecond)),
		readField(fields, "weightUpdatePeriod", duration(&p.UpdatePeriod, 100*time.Millisecond)),
		readField(fields, "errorUtilizationPenalty", func(f float64) error {
			if f < 0 || f > 1000 {
				return fmt.Errorf("%v is out of range; write 0 to 1000", f)
			}
			p.ErrorPenalty = &f
			return nil
		}),
	)
	if outOfBand {
		p.OutOfBandPeriod = own
	}
	return &policy.LoadBalancing{WeightedRoundRobin: p}, err
}
