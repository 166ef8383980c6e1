package main

import (
	"fmt"
	"os"
	"strings"
)

// publish puts text into a page, between the markers of its name.
func publish(page, name, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+": begin -->", "<!-- "+name+": end -->"
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no %s before %s; put both where the table is to stand", page, begin, end)
	}
	return os.WriteFile(page, []byte(before+begin+"\n\n"+strings.TrimSpace(text)+"\n\n"+end+after), 0o644)
}
