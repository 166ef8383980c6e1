package main

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

func TestReferenceIsCurrent(t *testing.T) {
	schema, err := compile("../../" + protoRoot)
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(schema)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the schema says; run: go run ./internal/docgen", reference)
	}
}

func TestParseComment(t *testing.T) {
	for _, tc := range []struct {
		comment string
		want    facts
	}{
		{`Attempts with the first. 2 to 5. Default: 3. Method, hot.`,
			facts{"Attempts with the first.", "2 to 5", "3", "method, hot"}},
		{`An empty list is honoured after this long. A duration; "0s": at once. Default: "30s". Channel, hot.`,
			facts{"An empty list is honoured after this long.", `a duration; "0s": at once`, `"30s"`, "channel, hot"}},
		{`At this quantile of latency. In (0.5, 1). Method, hot.`,
			facts{"At this quantile of latency.", "in (0.5, 1)", "", "method, hot"}},
		{`Never more than this. At least one. A share, in (0, 1]. Default: 0.1. Service or method, at start.`,
			facts{"Never more than this. At least one.", "a share, in (0, 1]", "0.1", "service or method, at start"}},
		{`Throttling (Google SRE book, ch. 21). Default: off. Service, hot.`,
			facts{"Throttling (Google SRE book, ch. 21).", "", "off", "service, hot"}},
		{`Ping after this long. A duration, at least "10s". Required by the first level that turns it on. Channel, at start.`,
			facts{"Ping after this long.", `a duration, at least "10s"`, "required by the first level that turns it on", "channel, at start"}},
		{`Largest delay. Scope and time as initial.`,
			facts{"Largest delay.", "", "", "as initial"}},
	} {
		got, err := parseComment(tc.comment)
		if err != nil || got != tc.want {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", tc.comment, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "Attempts with the first.", "Attempts. Default: 3."} {
		if _, err := parseComment(bad); err == nil {
			t.Errorf("%q has no scope and is accepted", bad)
		}
	}
}

func TestSentences(t *testing.T) {
	got := sentences(`Where it is: "dns:///a.b:1". A share, in (0, 1]. 0.5 or 1.`)
	want := []string{`Where it is: "dns:///a.b:1"`, "A share, in (0, 1]", "0.5 or 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
