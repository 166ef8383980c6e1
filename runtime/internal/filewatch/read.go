package filewatch

import (
	"fmt"
	"io"
	"os"
)

// maxSize bounds what is read: a path mistyped into a device or a database must not fill the memory.
const maxSize = 64 << 20

func read(path string) State {
	// Opening a FIFO would block, so the kind comes first.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return State{Err: err}
	case info.IsDir():
		return State{Err: fmt.Errorf("%s is a directory; name a file", path)}
	case !info.Mode().IsRegular():
		return State{Err: fmt.Errorf("%s is no regular file (%s); name one", path, info.Mode().Type())}
	}
	f, err := os.Open(path)
	if err != nil {
		return State{Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return State{Err: err}
	case len(data) > maxSize:
		return State{Err: fmt.Errorf("%s has more than %d MiB, which is not read; name the right file", path, maxSize>>20)}
	}
	return State{Data: data}
}
