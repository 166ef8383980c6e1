package main

import (
	"time"

	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"

	"github.com/goresilient/goresilient/bench/internal/clients"
	"github.com/goresilient/goresilient/runtime/policy"
)

// contender is a way to balance.
type contender struct {
	name string
	make func(addrs []string) (clients.Client, error)
}

func contenders(timeout time.Duration) []contender {
	return []contender{
		ours("adaptive", policy.LoadBalancing{Adaptive: &policy.Adaptive{}}),
		ours("peak_ewma", policy.LoadBalancing{PeakEwma: &policy.PeakEwma{}}),
		ours("least_request", policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}),
		ours("weighted_round_robin", policy.LoadBalancing{WeightedRoundRobin: &policy.WeightedRoundRobin{Blackout: policy.Set(time.Second)}}),
		ours("round_robin", policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}),
		grpcs("round_robin", `{"round_robin":{}}`),
		grpcs("least_request", `{"least_request_experimental":{"choiceCount":2}}`),
		grpcs("weighted_round_robin", `{"weighted_round_robin":{"blackoutPeriod":"1s","weightUpdatePeriod":"1s"}}`),
		{"go-zero p2c", func(addrs []string) (clients.Client, error) { return clients.GoZero(addrs, timeout) }},
		{"Kratos p2c", func(addrs []string) (clients.Client, error) { return clients.Kratos(addrs, timeout) }},
	}
}

func ours(arm string, lb policy.LoadBalancing) contender {
	return contender{"goresilient " + arm, func(addrs []string) (clients.Client, error) {
		return clients.OursOver(addrs, &policy.Service{LoadBalancing: &lb})
	}}
}

func grpcs(name, config string) contender {
	return contender{"grpc " + name, func(addrs []string) (clients.Client, error) {
		return clients.GRPC(addrs, `{"loadBalancingConfig":[`+config+`]}`)
	}}
}
