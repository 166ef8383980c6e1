package discovery_test

import (
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/discovery/discoverytest"
)

func TestStaticKeepsTheContract(t *testing.T) {
	discoverytest.Run(t, discoverytest.Harness{New: func(t *testing.T) discoverytest.Backend {
		target, _, err := discovery.ParseTarget("static:///a:1,b:2;weight=3", nil)
		if err != nil {
			t.Fatal(err)
		}
		src, err := discovery.OpenStatic(target)
		if err != nil {
			t.Fatal(err)
		}
		return discoverytest.Backend{Source: src}
	}})
}
