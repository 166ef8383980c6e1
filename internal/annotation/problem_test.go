package annotation

import (
	"errors"
	"testing"
)

func TestProblemsAreSortedAndWrittenOnce(t *testing.T) {
	if got, want := (Problem{Place: Place{File: "p.yaml", Line: 3}, Path: "defaults", Text: "x; write y"}).Error(),
		"p.yaml:3: defaults: x; write y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	second := Problem{Place: Place{"b.proto", 1, 1}, Subject: "file option", Text: "x; write y"}
	ps := Problems{
		second,
		{Place: Place{"a.proto", 10, 2}, Subject: "a.S", Text: "late; write y"},
		{Place: Place{"a.proto", 9, 3}, Subject: "a.S.Get", Text: "early; write y"},
		second,
		{Place: Place{File: "a.proto"}, Text: "nowhere; write y"},
	}.Sorted()
	want := `a.proto: nowhere; write y
a.proto:9:3: a.S.Get: early; write y
a.proto:10:2: a.S: late; write y
b.proto:1:1: file option: x; write y`
	if got := ps.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var p Problem
	if !errors.As(error(ps), &p) || p.Text != "nowhere; write y" {
		t.Errorf("errors.As gives %v", p)
	}
}
