/* Comparing two multisets in constant memory. Readable reference: fingerprint_py.py.
 *
 * Every item has a hash of 64 bits; its top bits choose a bucket. A bucket holds the sum of the
 * hashes of one side minus those of the other: zero where both sides hold the same items. In the
 * distinct form it holds one bit a side. A second pass hands out the items of buckets that differ.
 */
#ifndef HOTSPLIT_FINGERPRINT_H
#define HOTSPLIT_FINGERPRINT_H

#include <stdint.h>
#include <string.h>

enum { HS_ROWS = 0, HS_ENTRIES = 1 };

typedef struct {
    uint32_t pgno;
    int32_t node;
} hs_place;

typedef void (*hs_found)(void *to, int side, const uint8_t *key, uint32_t key_length,
                         const uint8_t *data, uint32_t length, uint64_t count, hs_place place);

typedef struct {
    uint32_t shift;              /* bucket = hash >> shift */
    int distinct;
    uint64_t *sums;              /* one a bucket, unless distinct */
    uint8_t *bits[2];            /* one bit a bucket and side, if distinct */
    const uint8_t *watched;      /* one bit a bucket in the second pass, else NULL */
    uint64_t counts[2];          /* items of each side */
    hs_found found;
    void *to;
} hs_ledger;

/* Words of 8 bytes, the last one padded with zeros; the length is part of the hash. */
static inline uint64_t hs_hash(uint64_t seed, const uint8_t *p, uint32_t length)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t h = (seed ^ length) * k, word;
    uint32_t left = length;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * k;
        h ^= h >> 29;
    }
    if (left) {
        word = 0;
        memcpy(&word, p, left);
        h = (h ^ word) * k;
        h ^= h >> 29;
    }
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ h >> 32;
}

static inline uint64_t hs_hash_number(uint64_t number)
{
    return hs_hash(0, (const uint8_t *)&number, 8);
}

static inline int hs_is_watched(const hs_ledger *l, uint64_t hash)
{
    uint64_t bucket = hash >> l->shift;
    return l->watched[bucket >> 3] >> (bucket & 7) & 1;
}

/* Enter `count` times the item with this hash. */
static inline void hs_enter(hs_ledger *l, int side, uint64_t hash, uint64_t count)
{
    uint64_t bucket = hash >> l->shift;
    l->counts[side] += count;
    if (l->distinct)
        l->bits[side][bucket >> 3] |= (uint8_t)(1 << (bucket & 7));
    else
        l->sums[bucket] += side == HS_ROWS ? count * hash : 0 - count * hash;
}

/* A word of 64 buckets: a bit each where the sides differ. `subset`: rows may lack entries. */
static inline uint64_t hs_differing_word(const hs_ledger *l, uint64_t word, int subset)
{
    uint64_t bits = 0, rows, entries;
    uint32_t i;
    if (l->distinct) {
        memcpy(&rows, l->bits[HS_ROWS] + 8 * word, 8);
        memcpy(&entries, l->bits[HS_ENTRIES] + 8 * word, 8);
        return subset ? entries & ~rows : entries ^ rows;
    }
    for (i = 0; i < 64; i++)
        bits |= (uint64_t)(l->sums[64 * word + i] != 0) << i;
    return bits;
}

/* Count the buckets that differ; mark the first `most` of them in `watched` unless it is NULL. */
static uint64_t hs_differing(const hs_ledger *l, int subset, uint64_t most, uint8_t *watched)
{
    uint64_t word, words = (uint64_t)1 << (64 - l->shift) >> 6, bits, count = 0;
    for (word = 0; word < words; word++) {
        bits = hs_differing_word(l, word, subset);
        for (; bits; bits &= bits - 1, count++)
            if (watched && count < most) {
                uint32_t bit = (uint32_t)__builtin_ctzll(bits);
                watched[8 * word + bit / 8] |= (uint8_t)(1 << bit % 8);
            }
    }
    return count;
}

#endif
