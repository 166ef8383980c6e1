package goresilient_test

import (
	"math"
	"strconv"
	"testing"

	"google.golang.org/grpc"

	goresilient "github.com/goresilient/goresilient/runtime"
)

func TestKeysHaveTheHashOfTheirText(t *testing.T) {
	type number int32
	for _, test := range []struct {
		text string
		got  uint64
	}{
		{"user-7", goresilient.HashBytes([]byte("user-7"))},
		{"", goresilient.HashBytes(nil)},
		{"0", goresilient.HashInt(int32(0))},
		{"-7", goresilient.HashInt(number(-7))},
		{strconv.Itoa(math.MinInt64), goresilient.HashInt(int64(math.MinInt64))},
		{strconv.FormatUint(math.MaxUint64, 10), goresilient.HashUint(uint64(math.MaxUint64))},
		{"4294967295", goresilient.HashUint(uint32(math.MaxUint32))},
		{"true", goresilient.HashBool(true)},
		{"false", goresilient.HashBool(false)},
		{"0.1", goresilient.HashFloat(0.1)},
		{"0.1", goresilient.HashFloat(float32(0.1))},
		{"-1.7976931348623157e+308", goresilient.HashFloat(-math.MaxFloat64)},
		{"NaN", goresilient.HashFloat(math.NaN())},
	} {
		if want := goresilient.HashString(test.text); test.got != want {
			t.Errorf("the key %q has the hash %x, its text %x", test.text, test.got, want)
		}
	}
}

func TestKeysAreHashedWithoutAllocation(t *testing.T) {
	raw, text := []byte("user-7"), "user-7"
	n := testing.AllocsPerRun(100, func() {
		goresilient.HashBytes(raw)
		goresilient.HashString(text)
		goresilient.HashInt(int64(math.MinInt64))
		goresilient.HashUint(uint64(math.MaxUint64))
		goresilient.HashFloat(-math.MaxFloat64)
		goresilient.HashFloat(float32(0.1))
		goresilient.HashBool(true)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestKeyedOnlyWhereKeysCount: a stream has one more option while endpoints are chosen by keys, and none otherwise.
func TestKeyedOnlyWhereKeysCount(t *testing.T) {
	opts := []grpc.CallOption{grpc.WaitForReady(true)}
	foreign := mustClient(t, goresilient.WithConn(fakeConn{}))
	o := goresilient.NewOverrides()
	c := mustClient(t, insecureAt("127.0.0.1:1"), goresilient.WithOverrides(o))
	if n := testing.AllocsPerRun(100, func() { goresilient.Keyed(c.Client, 7, opts) }); n != 0 {
		t.Errorf("%v allocations without consistent_hash", n)
	}
	for _, client := range []*testClient{foreign, c} {
		if got := goresilient.Keyed(client.Client, 7, opts); len(got) != 1 {
			t.Errorf("%d options without consistent_hash", len(got))
		}
	}
	if err := o.Set("console", override("    policy: {load_balancing: {consistent_hash: {}}}\n")); err != nil {
		t.Fatal(err)
	}
	if got := goresilient.Keyed(c.Client, 7, opts); len(got) != 2 || len(opts) != 1 || got[1] != opts[0] {
		t.Errorf("%d options with consistent_hash, want the key before the caller's", len(got))
	}
}
