package limit

// TryAcquire is Acquire for a call that may not wait.
func (l *Limiter) TryAcquire() error {
	if l.Try(false) {
		return nil
	}
	l.refused.Add(1)
	return ErrFull
}
