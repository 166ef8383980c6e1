// Package bench holds the benchmarks that measure goresilient beside its peers. It is a module of its own, so that a user's
// module feels nothing of the peers. README.md says what is measured, how to run it, and what came out.
package bench
