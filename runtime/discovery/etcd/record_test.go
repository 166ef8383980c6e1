package etcd

import (
	"strings"
	"testing"

	"github.com/goresilient/goresilient/runtime/discovery"
)

func TestEncodeEndpoint(t *testing.T) {
	tests := []struct {
		name, want string
		endpoint   discovery.Endpoint
	}{
		{"address alone", `{"Op":0,"Addr":"a:1","Metadata":null}`, discovery.Endpoint{Addresses: []string{"a:1"}, Weight: 1}},
		{"all", `{"Op":0,"Addr":"a:1","Metadata":{"weight":2,"zone":"eu","priority":1,"alternates":["b:2"],"metadata":{"k":"v"}}}`,
			discovery.Endpoint{Addresses: []string{"a:1", "b:2"}, Weight: 2, Zone: "eu", Priority: 1,
				Metadata: map[string]string{"k": "v"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encodeEndpoint(tt.endpoint)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
			if back, err := decodeEndpoint(got); err != nil || !back.Equal(tt.endpoint) {
				t.Errorf("read back: %+v, %v", back, err)
			}
		})
	}
}

func TestDecodeEndpoint(t *testing.T) {
	at := func(e discovery.Endpoint) discovery.Endpoint {
		e.Addresses, e.Weight = append([]string{"a:1"}, e.Addresses...), max(e.Weight, 1)
		return e
	}
	type meta = map[string]string
	tests := []struct {
		name, value string
		want        discovery.Endpoint
	}{
		{"no metadata", `{"Addr":"a:1"}`, at(discovery.Endpoint{})},
		{"canonical address", `{"Addr":"A:1"}`, at(discovery.Endpoint{})},
		{"grpc 1.29", `{"Op":0,"Addr":"a:1","Metadata":{"AddrType":1,"ServerName":"lb"}}`,
			at(discovery.Endpoint{Metadata: meta{"AddrType": "1", "ServerName": "lb"}})},
		{"text", `{"Addr":"a:1","Metadata":"v2"}`, at(discovery.Endpoint{Metadata: meta{"metadata": "v2"}})},
		{"list", `{"Addr":"a:1","Metadata":[1, 2]}`, at(discovery.Endpoint{Metadata: meta{"metadata": "[1,2]"}})},
		{"numbers of others", `{"Addr":"a:1","Metadata":{"weight":2.0,"priority":"3"}}`,
			at(discovery.Endpoint{Weight: 2, Priority: 3})},
		{"nested", `{"Addr":"a:1","Metadata":{"a":{"b": 1},"metadata":{"a":"wins","c":true}}}`,
			at(discovery.Endpoint{Metadata: meta{"a": "wins", "c": "true"}})},
		{"metadata that is no object", `{"Addr":"a:1","Metadata":{"metadata":7}}`,
			at(discovery.Endpoint{Metadata: meta{"metadata": "7"}})},
		{"line breaks", `{"Addr":"a:1","Metadata":{"note":"one\ntwo"}}`,
			at(discovery.Endpoint{Metadata: meta{"note": "one\ntwo"}})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := decodeEndpoint([]byte(tt.value)); err != nil || !got.Equal(tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestDecodeEndpointRefuses(t *testing.T) {
	tests := []struct {
		name, value string
		want        []string // parts of the error
	}{
		{"no JSON", `10.0.0.1:443`, []string{`not of the form {"Addr"`}},
		{"another JSON", `[]`, []string{`not of the form {"Addr"`}},
		{"nothing", ``, []string{`not of the form {"Addr"`}},
		{"no address", `{"Metadata":{"weight":1}}`, []string{"has no address"}},
		{"no port", `{"Addr":"a"}`, []string{"has no port"}},
		{"URL", `{"Addr":"http://a:1"}`, []string{"is a whole target"}},
		{"everything at once",
			`{"Addr":"a","Metadata":{"weight":0,"priority":-1,"zone":7,"alternates":"b:2"}}`,
			[]string{"has no port", "the weight 0", "the priority -1", "the zone 7", `the alternates "b:2"`}},
		{"beyond range", `{"Addr":"a:1","Metadata":{"weight":2000000,"priority":200}}`, []string{"1000000", "127"}},
		{"beyond all range", `{"Addr":"a:1","Metadata":{"weight":1e30}}`, []string{"the weight 1e30"}},
		{"twice", `{"Addr":"a:1","Metadata":{"alternates":["a:1"]}}`, []string{"twice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeEndpoint([]byte(tt.value))
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v lacks %q", err, part)
				}
			}
		})
	}
}

func FuzzDecodeEndpoint(f *testing.F) {
	f.Add([]byte(`{"Op":0,"Addr":"a:1","Metadata":{"weight":2,"alternates":["b:2"],"metadata":{"k":"v"}}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := decodeEndpoint(value)
		if err != nil {
			return
		}
		again, err := encodeEndpoint(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeEndpoint(again); err != nil || !back.Equal(e) {
			t.Errorf("%q reads as %+v, which reads back as %+v, %v", value, e, back, err)
		}
	})
}
