package fleet

import "errors"

// Fleet is several servers.
type Fleet []*Server

// New starts n servers of the given workers; behave says what each does. Their draws follow from seed.
func New(n, workers int, seed uint64, behave func(i int) Behaviour) (Fleet, error) {
	var f Fleet
	for i := range n {
		s, err := Start(workers, behave(i), seed+uint64(i))
		if err != nil {
			return nil, errors.Join(err, f.Down())
		}
		f = append(f, s)
	}
	return f, nil
}

// Addrs returns the addresses of all servers.
func (f Fleet) Addrs() []string {
	out := make([]string, len(f))
	for i, s := range f {
		out[i] = s.Addr()
	}
	return out
}

// Down ends all servers.
func (f Fleet) Down() error {
	var errs []error
	for _, s := range f {
		errs = append(errs, s.Down())
	}
	return errors.Join(errs...)
}
