/* The floor: what the same memory costs in C, without features, rules or decisions.
 *
 * A message touches what the kernel touches: the sender's row (one field in each cache line), the
 * sender's pair, the head of the receiver's row, the receiver's pair. Rows lie one an account; pairs
 * in one open-addressing table. Memory is asked for a few events ahead, as the kernel does.
 */
#include <stdint.h>

typedef struct { uint64_t key, value; } Pair;

enum { AHEAD = 6, LINE = 64 };

static inline uint64_t home(uint64_t key, uint64_t mask) {
  return ((key * 0x9E3779B97F4A7C15ull) >> 20) & mask;
}

static inline uint64_t key_of(uint32_t owner, uint32_t other) {
  return (((uint64_t)owner << 32) | other) + 1;
}

static inline uint64_t touch(Pair *pairs, uint64_t mask, uint64_t key, uint64_t now) {
  uint64_t at = home(key, mask);
  while (pairs[at].key != 0 && pairs[at].key != key) at = (at + 1) & mask;
  uint64_t fresh = pairs[at].key == 0;
  pairs[at].key = key;
  pairs[at].value = now;
  return fresh;
}

/* Returns how many pairs are new. `mask` is the size of the table, a power of two, less one. */
int64_t floor_run(uint8_t *rows, int64_t row_bytes, Pair *pairs, uint64_t mask,
                  const uint32_t *from, const uint32_t *to, int64_t n) {
  int64_t fresh = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i + AHEAD < n) {
      uint32_t a = from[i + AHEAD], b = to[i + AHEAD];
      for (int64_t at = 0; at < row_bytes; at += LINE)
        __builtin_prefetch(rows + a * row_bytes + at, 1);
      __builtin_prefetch(rows + b * row_bytes, 1);
      __builtin_prefetch(pairs + home(key_of(a, b), mask), 1);
      __builtin_prefetch(pairs + home(key_of(b, a), mask), 1);
    }
    uint8_t *sender = rows + from[i] * row_bytes, *receiver = rows + to[i] * row_bytes;
    for (int64_t at = 0; at + 4 <= row_bytes; at += LINE) *(uint32_t *)(sender + at) += 1;
    fresh += touch(pairs, mask, key_of(from[i], to[i]), (uint64_t)i);
    *(uint32_t *)receiver += 1;
    fresh += touch(pairs, mask, key_of(to[i], from[i]), (uint64_t)i);
  }
  return fresh;
}
