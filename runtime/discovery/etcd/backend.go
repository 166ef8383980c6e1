package etcd

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// backend is etcd, as its protocol has it. The client's own Watcher and Lease are not used since they hide what has to be
// seen here: a broken stream is resumed without a word, and at a revision that a new registry may not have reached. The
// connection under them serves, with the credentials and the renewal of tokens that it brings.
type backend struct {
	settings
	client  *clientv3.Client
	conn    *grpc.ClientConn
	options []grpc.CallOption
}

func newBackend(client *clientv3.Client, s settings) *backend {
	return &backend{settings: s, client: client, conn: client.ActiveConnection(), options: []grpc.CallOption{
		grpc.MaxCallRecvMsgSize(math.MaxInt32), // a page of large values, a transaction of many keys
	}}
}

// rangeKeys asks as many members as there are, at most three: gRPC sends each request to the next one, and does not know of
// one that has gone without a word.
func (b *backend) rangeKeys(ctx context.Context, r *pb.RangeRequest) (response *pb.RangeResponse, err error) {
	for range max(1, min(len(b.client.Endpoints()), 3)) {
		response, err = b.rangeOnce(ctx, r)
		if !isOutage(err) || ctx.Err() != nil {
			break
		}
	}
	return response, err
}

func (b *backend) rangeOnce(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if !r.Serializable {
		ctx = clientv3.WithRequireLeader(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return pb.NewKVClient(b.conn).Range(ctx, r, b.options...)
}

func (b *backend) txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	return pb.NewKVClient(b.conn).Txn(ctx, r, b.options...)
}

func (b *backend) put(ctx context.Context, r *pb.PutRequest) error {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	_, err := pb.NewKVClient(b.conn).Put(ctx, r, b.options...)
	return err
}

func (b *backend) grant(ctx context.Context, ttl int64) (*pb.LeaseGrantResponse, error) {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	return pb.NewLeaseClient(b.conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl}, b.options...)
}

func (b *backend) revoke(ctx context.Context, lease int64) error {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	_, err := pb.NewLeaseClient(b.conn).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}, b.options...)
	if isError(err, rpctypes.ErrGRPCLeaseNotFound) {
		return nil
	}
	return err
}

// limited is for one request: one that etcd should answer, and not a member that has lost the others.
func (b *backend) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithRequireLeader(ctx), b.timeout)
}

// pause waits for d after a failure, less if the connection comes back meanwhile, and lets it try at once where it is still
// lost. It reports false when ctx ended.
func (b *backend) pause(ctx context.Context, d time.Duration) bool {
	least := min(d, backoffInitial)
	if !sleep(ctx, least) {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, d-least)
	defer cancel()
	b.untilConnected(limited)
	b.conn.ResetConnectBackoff()
	return ctx.Err() == nil
}

// untilConnected returns when ctx ends, or when a connection that was lost is there again.
func (b *backend) untilConnected(ctx context.Context) {
	s := b.conn.GetState()
	if s == connectivity.Ready {
		<-ctx.Done()
		return
	}
	for s != connectivity.Ready && b.conn.WaitForStateChange(ctx, s) {
		s = b.conn.GetState()
	}
}

// sleep reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// failed says what could not be done, where, and what to do about it.
func (b *backend) failed(what, key string, err error) error {
	return fmt.Errorf("etcd at %s: cannot %s %q: %w%s",
		strings.Join(b.client.Endpoints(), ", "), what, key, err, remedy(err))
}

func remedy(err error) string {
	switch {
	case isError(err, rpctypes.ErrGRPCPermissionDenied):
		return "; grant a role of this user the permission for these keys"
	case isError(err, rpctypes.ErrGRPCAuthFailed), isError(err, rpctypes.ErrGRPCUserEmpty):
		return "; give the client the Username and the Password of a user of this etcd"
	}
	return ""
}

// isError reports whether err is what the server means by target. Interceptors change the type on the way; a canceled watch
// brings but the text.
func isError(err, target error) bool {
	return err != nil && strings.Contains(err.Error(), rpctypes.ErrorDesc(target))
}

// isOutage reports whether nobody could answer, as opposed to an answer that is no.
func isOutage(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}

// noAnswer is the error of a stream that is silent.
func noAnswer(d time.Duration) error {
	return status.Errorf(codes.DeadlineExceeded, "no answer within %s", d)
}
