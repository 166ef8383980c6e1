package pushback

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name          string
		values        []string
		wait          time.Duration
		present, stop bool
	}{
		{"none", nil, 0, false, false},
		{"empty list", []string{}, 0, false, false},
		{"at once", []string{"0"}, 0, true, false},
		{"after a while", []string{"250"}, 250 * time.Millisecond, true, false},
		{"the longest", []string{"2147483647"}, 2147483647 * time.Millisecond, true, false},
		{"too long", []string{"2147483648"}, 0, true, true},
		{"longer than any number", []string{strings.Repeat("9", 100)}, 0, true, true},
		{"negative", []string{"-1"}, 0, true, true},
		{"minus zero", []string{"-0"}, 0, true, true},
		{"plus", []string{"+5"}, 0, true, true},
		{"needless zero", []string{"05"}, 0, true, true},
		{"empty", []string{""}, 0, true, true},
		{"space", []string{" 5"}, 0, true, true},
		{"unit", []string{"5ms"}, 0, true, true},
		{"fraction", []string{"1.5"}, 0, true, true},
		{"hexadecimal", []string{"0x10"}, 0, true, true},
		{"underscore", []string{"1_000"}, 0, true, true},
		{"other digits", []string{"٣"}, 0, true, true},
		{"repeated", []string{"5", "5"}, 0, true, true},
		{"joined", []string{"5,5"}, 0, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wait, present, stop := Parse(tt.values)
			if wait != tt.wait || present != tt.present || stop != tt.stop {
				t.Errorf("got %v, %v, %v, want %v, %v, %v", wait, present, stop, tt.wait, tt.present, tt.stop)
			}
		})
	}
}

var number = regexp.MustCompile(`\A(0|[1-9][0-9]{0,9})\z`)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "250", "-1", "+5", "05", "2147483647", "2147483648", "", "1e3", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait, present, stop := Parse([]string{value})
		if !present {
			t.Fatal("one value is a value")
		}
		if stop && wait != 0 {
			t.Fatalf("stops and waits for %v", wait)
		}
		if allowed := number.MatchString(value) && (len(value) < 10 || value <= "2147483647"); stop == allowed {
			t.Fatalf("%q: stop is %v", value, stop)
		}
		if _, _, stop := Parse([]string{value, value}); !stop {
			t.Fatal("two values do not stop")
		}
	})
}
