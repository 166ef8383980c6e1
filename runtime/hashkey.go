package goresilient

import (
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The hashes of keys are what generated accessors return. A number or a bool has the hash of its text, so that a key chooses
// the same endpoint from whatever kind of field, or from a header, it comes.

// HashString returns the hash of a key: XXH64 of its bytes. Generated code calls it, as it does the others; a caller passes
// [HashKey].
func HashString(key string) uint64 { return xxhash.Sum64String(key) }

// HashBytes returns the hash of a key: XXH64.
func HashBytes(key []byte) uint64 { return xxhash.Sum64(key) }

// HashInt returns the hash of a key: that of its decimal digits.
func HashInt[T ~int32 | ~int64](key T) uint64 {
	var digits [20]byte
	return xxhash.Sum64(strconv.AppendInt(digits[:0], int64(key), 10))
}

// HashUint returns the hash of a key: that of its decimal digits.
func HashUint[T ~uint32 | ~uint64](key T) uint64 {
	var digits [20]byte
	return xxhash.Sum64(strconv.AppendUint(digits[:0], uint64(key), 10))
}

// HashFloat returns the hash of a key: that of the shortest decimal form that T takes for it, "0.1" for float32(0.1).
func HashFloat[T float32 | float64](key T) uint64 {
	bits := 64
	if _, single := any(key).(float32); single {
		bits = 32
	}
	var digits [32]byte
	return xxhash.Sum64(strconv.AppendFloat(digits[:0], float64(key), 'g', -1, bits))
}

// HashBool returns the hash of a key: that of "true" or "false".
func HashBool(key bool) uint64 { return xxhash.Sum64String(strconv.FormatBool(key)) }
