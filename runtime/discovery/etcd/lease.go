package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	errNotYet    = errors.New("etcd: the endpoint is not registered yet")
	errClosed    = errors.New("etcd: the registration is closed")
	errLeaseLost = errors.New("the lease has ended or was revoked")
	errTaken     = errors.New("somebody else has written the key; it is left to them until it is deleted")
)

// run registers, again and again, until ctx ends.
func (r *Registration) run(ctx context.Context) {
	defer close(r.done)
	closing := errClosed
	for failures := 0; ctx.Err() == nil; {
		held, err := r.hold(ctx)
		if ctx.Err() != nil {
			if err != nil {
				closing = r.backend.failed("deregister", r.key, err)
			}
			break
		}
		if held { // no pause: the lease has lived for a while
			failures = 0
			r.set(r.backend.failed("keep", r.key, err))
			continue
		}
		failures++
		r.set(r.backend.failed("register", r.key, err))
		r.backend.pause(ctx, backoff(failures, r.backend.random()))
	}
	r.mu.Lock()
	r.err = closing
	r.mu.Unlock()
}

// hold registers on a new lease and keeps that alive until it is lost, or ctx ends. It then reports whether the endpoint was
// registered, and why it is no longer; once ctx has ended, why it could not be removed.
func (r *Registration) hold(ctx context.Context) (held bool, err error) {
	lease, err := r.backend.grant(ctx, r.ttl)
	if err != nil {
		if ctx.Err() != nil {
			return false, nil // there is nothing to remove
		}
		return false, err
	}
	err = r.backend.put(ctx, &pb.PutRequest{Key: []byte(r.key), Value: r.value, Lease: lease.ID})
	if err == nil {
		held = true
		r.registered()
		err = r.keepAlive(ctx, lease)
	}
	if held && ctx.Err() == nil {
		return held, err // etcd has forgotten the lease
	}
	// A put that is still on its way needs the lease, so this undoes it, too, whichever comes first.
	revoking := r.backend.revoke(context.WithoutCancel(ctx), lease.ID)
	if ctx.Err() != nil {
		err = revoking
	}
	return held, err
}

func (r *Registration) registered() {
	select {
	case <-r.first:
	default:
		close(r.first)
	}
	r.set(nil)
}

// keepAlive returns when the lease is lost or ctx has ended.
func (r *Registration) keepAlive(ctx context.Context, lease *pb.LeaseGrantResponse) error {
	// Spread by a tenth to either side, since all servers come back at once when etcd does.
	interval := time.Duration(float64(lease.TTL) * float64(time.Second) / 3 * (0.9 + 0.2*r.backend.random()))
	renewals := renewalStream{backend: r.backend, lease: lease.ID}
	defer renewals.close()
	for failures := 0; ; {
		if failures == 0 {
			sleep(ctx, interval)
		} else {
			r.backend.pause(ctx, min(backoff(failures, r.backend.random()), interval))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := renewals.renew(ctx)
		if err == nil {
			err = r.ensure(ctx, lease.ID)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLeaseLost):
			return err
		case errors.Is(err, errTaken):
			failures = 0
			r.set(r.backend.failed("keep", r.key, err))
		case err != nil:
			failures++
			r.set(r.backend.failed("keep", r.key, err))
		default:
			failures = 0
			r.set(nil)
		}
	}
}

// ensure puts the key again if it is gone although its lease lives.
func (r *Registration) ensure(ctx context.Context, lease int64) error {
	key := []byte(r.key)
	found, err := r.backend.rangeKeys(ctx, &pb.RangeRequest{Key: key})
	switch {
	case err != nil:
		return err
	case len(found.Kvs) > 0 && found.Kvs[0].Lease == lease:
		return nil
	case len(found.Kvs) > 0:
		return errTaken
	}
	put, err := r.backend.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: key, Target: pb.Compare_CREATE, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 0},
		}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: key, Value: r.value, Lease: lease},
		}}},
	})
	switch {
	case isError(err, rpctypes.ErrGRPCLeaseNotFound):
		return errLeaseLost
	case err != nil:
		return err
	case !put.Succeeded:
		return errTaken
	}
	return nil
}

// renewalStream keeps a lease alive. The stream is kept open since each new one costs etcd a check of the password. It is for
// one goroutine.
type renewalStream struct {
	backend *backend
	lease   int64
	stream  pb.Lease_LeaseKeepAliveClient // nil if there is none
	cancel  context.CancelFunc            // ends stream; nil if there is none
}

// renew returns errLeaseLost where there is no such lease. Another error leaves open what became of it.
func (s *renewalStream) renew(ctx context.Context) error {
	if s.cancel == nil {
		ctx, s.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	limit := time.AfterFunc(s.backend.timeout, s.cancel)
	ttl, err := s.exchange(ctx)
	if !limit.Stop() {
		err = noAnswer(s.backend.timeout)
	}
	switch {
	case err != nil:
		s.close()
		return err
	case ttl <= 0:
		return errLeaseLost
	}
	return nil
}

// exchange uses ctx for a new stream.
func (s *renewalStream) exchange(ctx context.Context) (ttl int64, err error) {
	if s.stream == nil {
		if s.stream, err = pb.NewLeaseClient(s.backend.conn).LeaseKeepAlive(ctx, s.backend.options...); err != nil {
			return 0, err
		}
	}
	// A stream that is broken says why when it receives.
	_ = s.stream.Send(&pb.LeaseKeepAliveRequest{ID: s.lease})
	r, err := s.stream.Recv()
	return r.GetTTL(), err
}

func (s *renewalStream) close() {
	if s.cancel != nil {
		s.cancel()
		s.stream, s.cancel = nil, nil
	}
}
