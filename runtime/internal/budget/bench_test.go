package budget

import (
	"testing"
	"time"
)

func BenchmarkDeposit(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		budget := New(Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
		now := int64(0)
		for b.Loop() {
			budget.Deposit(now, 1)
			now += 1000
		}
	})
	b.Run("parallel", func(b *testing.B) {
		budget := New(Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
		b.RunParallel(func(pb *testing.PB) {
			now := int64(0)
			for pb.Next() {
				budget.Deposit(now, 1)
				now += 1000
			}
		})
	})
}

// An outage: every call asks, nearly all are refused.
func BenchmarkWithdraw(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		budget := New(Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
		now := int64(0)
		for b.Loop() {
			budget.Withdraw(now)
			now += 1000
		}
	})
	b.Run("spread", func(b *testing.B) {
		budget := New(Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
		for range 10 {
			budget.spread.Collided(len(budget.firsts))
		}
		b.RunParallel(func(pb *testing.PB) {
			now := int64(0)
			for pb.Next() {
				budget.Deposit(now, 1)
				budget.Withdraw(now)
				now += 1000
			}
		})
	})
}
