// Package clients makes clients of the plain service over a list of servers: ours and those of peers, each the way its own
// documentation says.
package clients

import (
	"context"
	"errors"
	"strings"
	"time"

	kratosbreaker "github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	kratos "github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	_ "github.com/goresilient/goresilient/bench/internal/kratosp2c" // Kratos balances by p2c
	"github.com/goresilient/goresilient/bench/internal/traffic"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Client is a client of the plain service.
type Client struct {
	Call  func(context.Context) error
	Close func() error
}

func request() *plainv1.GetItemRequest { return &plainv1.GetItemRequest{ItemId: "42"} }

// of is the client over a connection.
func of(conn *grpc.ClientConn, err error) (Client, error) {
	if err != nil {
		return Client{}, err
	}
	stub := plainv1.NewPlainServiceClient(conn)
	return Client{
		Call: func(ctx context.Context) error {
			_, err := stub.GetItem(ctx, request())
			return err
		},
		Close: conn.Close,
	}, nil
}

// GRPC is grpc's own client under a service config, with the options given.
func GRPC(addrs []string, serviceConfig string, opts ...grpc.DialOption) (Client, error) {
	list := manual.NewBuilderWithScheme("list")
	var state resolver.State
	for _, a := range addrs {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	list.InitialState(state)
	return of(grpc.NewClient("list:///servers", append(opts, grpc.WithResolvers(list), grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...))
}

// GoZero is go-zero's client with its default interceptors, breaker among them, and its p2c; timeout is that of a call.
func GoZero(addrs []string, timeout time.Duration) (Client, error) {
	var c zrpc.RpcClientConf
	if err := conf.FillDefault(&c); err != nil {
		return Client{}, err
	}
	c.Endpoints, c.Timeout = addrs, timeout.Milliseconds()
	client, err := zrpc.NewClient(c)
	if err != nil {
		return Client{}, err
	}
	return of(client.Conn(), nil)
}

// Kratos is Kratos's client with its breaker and its p2c; timeout is that of a call.
func Kratos(addrs []string, timeout time.Duration) (Client, error) {
	return of(kratos.DialInsecure(context.Background(), kratos.WithEndpoint("direct:///"+strings.Join(addrs, ",")),
		kratos.WithTimeout(timeout), kratos.WithHealthCheck(false), kratos.WithMiddleware(kratosbreaker.Client())))
}

// Schema is the plain service as if its RPC were declared free of side effects, so that it may be retried and hedged.
var Schema = &goresilient.ServiceDesc{
	Name:    plainv1.PlainService_ServiceDesc.ServiceName,
	Methods: []goresilient.MethodDesc{{Name: "GetItem", Idempotency: policy.NoSideEffects}},
}

// Ours is a client of ours under a policy.
func Ours(p *policy.Service, opts ...goresilient.Option) (Client, error) {
	client, err := goresilient.NewClient(Schema, append(opts, goresilient.WithPolicy(p), goresilient.WithoutEnvironment())...)
	if err != nil {
		return Client{}, err
	}
	method := goresilient.NewUnaryMethod[plainv1.GetItemRequest, plainv1.GetItemResponse](client, "GetItem")
	return Client{
		Call: func(ctx context.Context) error {
			_, err := method.Call(ctx, request())
			return err
		},
		Close: client.Close,
	}, nil
}

// OursOver is a client of ours under a policy, over a list of servers.
func OursOver(addrs []string, p *policy.Service) (Client, error) {
	return Ours(p, goresilient.WithTarget("static:///"+strings.Join(addrs, ",")), goresilient.WithInsecure())
}

// Group is several clients alike.
type Group []Client

// Several makes n clients. After an error, the group has those that were made before.
func Several(n int, make func() (Client, error)) (Group, error) {
	var g Group
	for range n {
		c, err := make()
		if err != nil {
			return g, err
		}
		g = append(g, c)
	}
	return g, nil
}

// Calls returns what makes a call of each client.
func (g Group) Calls() []traffic.Call {
	calls := make([]traffic.Call, len(g))
	for i, c := range g {
		calls[i] = c.Call
	}
	return calls
}

// Close closes all clients.
func (g Group) Close() error {
	var errs []error
	for _, c := range g {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
