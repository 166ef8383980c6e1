package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// cluster is the etcd that the example talks to: one of its own, or a real one.
type cluster struct {
	endpoints []string
	config    *embed.Config // nil for a real cluster
	member    *embed.Etcd   // nil while it is stopped
	dir       string
}

func quiet() *zap.Logger { return zap.NewNop() }

func startCluster(endpoints string) (*cluster, error) {
	if endpoints != "" {
		fmt.Println("Using the etcd cluster at", endpoints)
		return &cluster{endpoints: strings.Split(endpoints, ",")}, nil
	}
	dir, err := os.MkdirTemp("", "goresilient-etcd-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, config: embed.NewConfig()}
	c.config.Dir = dir
	c.config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(quiet())
	client, err := freeURL()
	if err != nil {
		return nil, err
	}
	peer, err := freeURL()
	if err != nil {
		return nil, err
	}
	c.config.ListenClientUrls, c.config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.config.ListenPeerUrls, c.config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.config.InitialCluster = c.config.InitialClusterFromName(c.config.Name)
	c.endpoints = []string{client.String()}
	fmt.Println("Starting an etcd of our own at", client.String())
	return c, c.start()
}

// ours tells whether the example may stop the etcd.
func (c *cluster) ours() bool { return c.config != nil }

func (c *cluster) start() error {
	member, err := embed.StartEtcd(c.config)
	if err != nil {
		return err
	}
	select {
	case <-member.Server.ReadyNotify():
		c.member = member
		return nil
	case <-time.After(time.Minute):
		member.Close()
		return errors.New("etcd does not become ready")
	}
}

// stop stops an etcd of our own; its data stays until the program ends.
func (c *cluster) stop() {
	if c.member != nil {
		c.member.Close()
		c.member = nil
	}
}

// remove deletes the data of an etcd of our own.
func (c *cluster) remove() {
	c.stop()
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// freeURL returns a URL on loopback at which nothing listens.
func freeURL() (url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer func() { _ = l.Close() }()
	return url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}
