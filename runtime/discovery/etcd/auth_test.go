package etcd

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// secured makes etcd ask for passwords, and returns a client of its root.
func secured(t *testing.T, s *server) *clientv3.Client {
	t.Helper()
	open := connect(t, s.address())
	ctx := within(t)
	for _, step := range []func() error{
		func() error { _, err := open.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := open.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := open.RoleAdd(ctx, "reader"); return err },
		func() error { _, err := open.UserAdd(ctx, "app", "first"); return err },
		func() error { _, err := open.UserGrantRole(ctx, "app", "reader"); return err },
		func() error { _, err := open.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return connectWith(t, clientv3.Config{Endpoints: []string{s.address()}, Username: "root", Password: "secret"})
}

func grant(t *testing.T, root *clientv3.Client) {
	t.Helper()
	_, err := root.RoleGrantPermission(within(t), "reader", "inventory/", "inventory0",
		clientv3.PermissionType(clientv3.PermReadWrite))
	if err != nil {
		t.Fatal(err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	root := secured(t, s)
	put(t, root, "inventory/a", at1, 1)
	p := proxied(t, s.address())
	app := connectWith(t, clientv3.Config{Endpoints: []string{p.Addr()}, Username: "app", Password: "first"})
	r := read(t, New(app, impatient()...).Source("inventory"))
	r.until("the refusal", func() bool {
		return r.failure != nil && strings.Contains(r.failure.Error(), "permission denied; grant")
	})
	grant(t, root)
	r.untilSet(map[string]uint32{at1: 1})

	// Tokens of the simple kind are kept in memory, so a restart makes them all invalid.
	s.stop()
	s.start()
	put(t, root, "inventory/a", at1, 2)
	r.untilSet(map[string]uint32{at1: 2})

	// The role is taken away while the connection is lost, and given back.
	p.Refuse(true)
	p.Reset()
	if _, err := root.RoleRevokePermission(within(t), "reader", "inventory/", "inventory0"); err != nil {
		t.Fatal(err)
	}
	put(t, root, "inventory/a", at1, 3)
	p.Refuse(false)
	r.untilStale()
	grant(t, root)
	r.untilSet(map[string]uint32{at1: 3})

	// The password changes, and is changed back.
	p.Refuse(true)
	p.Reset()
	for _, password := range []string{"second", "first"} {
		if _, err := root.UserChangePassword(within(t), "app", password); err != nil {
			t.Fatal(err)
		}
		put(t, root, "inventory/b", at2, uint32(len(password)))
		p.Refuse(false)
		if password == "second" {
			r.untilStale()
		}
	}
	r.untilSet(map[string]uint32{at1: 3, at2: uint32(len("first"))})
}

func TestRegisterWithTokensThatEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	root := secured(t, s)
	grant(t, root)
	app := connectWith(t, clientv3.Config{Endpoints: []string{s.address()}, Username: "app", Password: "first"})
	registration := register(t, app, at1)
	watch := read(t, New(app, impatient()...).Source("inventory"))
	watch.untilSet(map[string]uint32{at1: 3})
	s.stop()
	untilErr(t, registration, true)
	s.start()
	untilErr(t, registration, false)
	watch.untilSet(map[string]uint32{at1: 3})
	if err := registration.Close(); err != nil {
		t.Error(err)
	}
	watch.untilSet(map[string]uint32{})
}
