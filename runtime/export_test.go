package goresilient

// Contributions returns how many policies of clients the channel keeps.
func Contributions(ch *Channel) int {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.shared.brought)
}
