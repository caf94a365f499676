/* Hashes of keys: a fixed one that assigns them to partitions, a secret one for tables. */
#ifndef GOMR_HASH_H
#define GOMR_HASH_H

#include <stdint.h>
#include <string.h>

/* The first `size` (at most 8) bytes as a little-endian number, nothing beyond them read. */
static inline uint64_t load_upto8(const char *p, size_t size)
{
    uint64_t w = 0;
    if (size >= 8) {
        memcpy(&w, p, 8);
    } else if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + size - 4, 4);
        w = low | (uint64_t)high << (8 * (size - 4));
    } else if (size) {
        w = (unsigned char)p[0];
        if (size > 1) {
            w |= (uint64_t)(unsigned char)p[1] << 8;
        }
        if (size > 2) {
            w |= (uint64_t)(unsigned char)p[2] << 16;
        }
    }
    return w;
}

/* Bytes that may be read behind a padded key. */
#define PADDING 16

/* The same where PADDING bytes more can be read: how long a word is cannot be foretold, and a
 * branch on it that is guessed wrongly costs more than the rest of the hash. */
static inline uint64_t load_padded(const char *p, size_t size)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return size ? w & (~0ull >> (64 - 8 * size)) : 0;
}

/* The fixed hash of gomr_runtime.dataflow.pairs.hashing: the same in every process and version, so that
 * anybody can choose keys that it maps to one number. Nothing but partitions may depend on it. */
static inline uint64_t fixed_hash(uint64_t kind, const char *p, size_t size)
{
    uint64_t h = (kind * 0x9E3779B97F4A7C15ull) ^ size;
    while (size) {
        size_t taken = size < 8 ? size : 8;
        h = (h ^ load_upto8(p, taken)) * 0xBF58476D1CE4E5B9ull;
        h ^= h >> 29;
        p += taken;
        size -= taken;
    }
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCDull;
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53ull;
    return h ^ (h >> 33);
}

/* Random numbers of one table that nobody outside of the process knows. */
typedef struct {
    uint64_t of[4];
} Secret;

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The hash for tables: folded multiplications, as in wyhash, of blocks that are hidden by the
 * secret, so that keys which share a place of the table cannot be chosen. No output depends on it. */
static inline uint64_t secret_hash(const Secret *secret, const char *p, size_t size, int padded)
{
    uint64_t h = 0, a, b;
    size_t left = size;
    for (; left > 16; left -= 16, p += 16) {
        h = fold(load_upto8(p, 8) ^ secret->of[0], load_upto8(p + 8, 8) ^ secret->of[1] ^ h);
    }
    size_t first = left < 8 ? left : 8;
    if (padded) {
        a = load_padded(p, first);
        b = load_padded(p + 8, left - first);
    } else {
        a = load_upto8(p, first);
        b = left > 8 ? load_upto8(p + 8, left - 8) : 0;
    }
    h = fold(a ^ secret->of[0], b ^ secret->of[1] ^ h);
    return fold(h ^ secret->of[2], size ^ secret->of[3]);
}

#endif
