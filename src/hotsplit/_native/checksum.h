/* Checksums of pages, headers and log segments; see checksum_py.py for the readable form.
 *
 * The checksum of a block needs the XOR of the indices of all its set bits. Bit k of that XOR is the
 * parity of the XOR of all dwords whose own index has bit k, so no bit is ever looked at alone:
 * rows of eight dwords are folded as vectors.
 */
#ifndef HOTSPLIT_CHECKSUM_H
#define HOTSPLIT_CHECKSUM_H

#include <stdint.h>
#include <string.h>

enum { HS_GOOD, HS_UNINITIALIZED, HS_SUSPECT };
enum { HS_ROW = 32, HS_GROUP = 8 * HS_ROW, HS_SPAN = 8 * HS_GROUP, HS_LARGE = 16384 };

typedef uint32_t hs_row __attribute__((vector_size(32)));
typedef hs_row hs_unaligned_row __attribute__((aligned(1), may_alias));

/* The processor's own vector width is chosen when the module is loaded, where the loader can; not
 * under a sanitizer, which does not watch yet at that time. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define HS_ANY_WIDTH __attribute__((target_clones("avx2", "default")))
#else
#define HS_ANY_WIDTH
#endif

#define HS_LOAD_ROW(p) (*(const hs_unaligned_row *)(p))

static inline uint32_t hs_load32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t hs_load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint32_t hs_parity(uint32_t x) { return (uint32_t)__builtin_parity(x); }

static inline uint32_t hs_fold(const hs_row *r)
{
    return (*r)[0] ^ (*r)[1] ^ (*r)[2] ^ (*r)[3] ^ (*r)[4] ^ (*r)[5] ^ (*r)[6] ^ (*r)[7];
}

/* all: XOR of all rows; by[k]: XOR of the rows whose index has bit k. */
struct hs_sums {
    hs_row all, by[8];
};

/* size: a multiple of 2048, at most 8192; skip: 8 to take the first 8 bytes as zero, else 0 (they lie
 * in row 0, which counts in `all` only: starting with them takes them out again).
 * The inner loop is unrolled, so its tests cost nothing and all sums stay in registers. */
HS_ANY_WIDTH static void hs_sum_rows(const uint8_t *data, uint32_t size, uint32_t skip,
                                     struct hs_sums *sums)
{
    hs_row by0 = {0}, by1 = {0}, by2 = {0}, by3 = {0}, by4 = {0}, by5 = {0}, all = {0};
    hs_row high[2] = {{0}};
    uint32_t span, group, k;
    if (skip) {
        all = HS_LOAD_ROW(data);
        all[2] = all[3] = all[4] = all[5] = all[6] = all[7] = 0;
    }
    for (span = 0; span < size / HS_SPAN; span++) {
        hs_row span_sum = {0};
#pragma GCC unroll 8
        for (group = 0; group < 8; group++, data += HS_GROUP) {
            hs_row r1 = HS_LOAD_ROW(data + HS_ROW), r3 = HS_LOAD_ROW(data + 3 * HS_ROW);
            hs_row r5 = HS_LOAD_ROW(data + 5 * HS_ROW), r7 = HS_LOAD_ROW(data + 7 * HS_ROW);
            hs_row r23 = HS_LOAD_ROW(data + 2 * HS_ROW) ^ r3;
            hs_row r67 = HS_LOAD_ROW(data + 6 * HS_ROW) ^ r7;
            hs_row r4567 = HS_LOAD_ROW(data + 4 * HS_ROW) ^ r5 ^ r67;
            hs_row sum = HS_LOAD_ROW(data) ^ r1 ^ r23 ^ r4567;
            by0 ^= r1 ^ r3 ^ r5 ^ r7;
            by1 ^= r23 ^ r67;
            by2 ^= r4567;
            if (group & 1)
                by3 ^= sum;
            if (group & 2)
                by4 ^= sum;
            if (group & 4)
                by5 ^= sum;
            span_sum ^= sum;
        }
        all ^= span_sum;
        for (k = 0; k < 2; k++)
            if (span >> k & 1)
                high[k] ^= span_sum;
    }
    *sums = (struct hs_sums){all, {by0, by1, by2, by3, by4, by5, high[0], high[1]}};
}

static uint64_t hs_block_checksum(const uint8_t *data, uint32_t size, uint32_t number, uint32_t skip)
{
    struct hs_sums sums;
    uint32_t k, x, low = 0;
    hs_sum_rows(data, size, skip, &sums);
    x = hs_fold(&sums.all);
    for (k = 0; k < 5; k++) {
        static const uint32_t with_bit[5] = {0xAAAAAAAAu, 0xCCCCCCCCu, 0xF0F0F0F0u, 0xFF00FF00u,
                                             0xFFFF0000u};
        low |= hs_parity(x & with_bit[k]) << k;
    }
    for (k = 0; k < 8; k++)
        if (hs_parity(sums.all[k]))
            low ^= k << 5;
    for (k = 0; k < 8; k++)
        low |= hs_parity(hs_fold(&sums.by[k])) << (8 + k);
    return (uint64_t)((low ^ (hs_parity(x) ? 8 * size - 1 : 0)) << 16 | low) << 32 | (x ^ number);
}

/* XOR of all dwords but the first, seeded. size: a multiple of 4. */
static uint32_t hs_xor_checksum(const uint8_t *data, size_t size)
{
    hs_row all = {0};
    uint32_t x;
    size_t at;
    for (at = 0; at + HS_ROW <= size; at += HS_ROW)
        all ^= HS_LOAD_ROW(data + at);
    x = hs_fold(&all);
    for (; at < size; at += 4)
        x ^= hs_load32(data + at);
    return x ^ hs_load32(data) ^ 0x89ABCDEFu;
}

static int hs_is_zero(const uint8_t *data, size_t size)
{
    return !hs_load64(data) && !memcmp(data, data + 8, size - 8);
}

/* Whether a page that is not all zero carries the right checksum for its number. */
static int hs_page_is_good(const uint8_t *page, uint32_t size, uint32_t number)
{
    uint32_t block = size / 4, i;
    if (!(page[37] & 0x20))
        return size < HS_LARGE && hs_load32(page) == hs_xor_checksum(page, size)
            && hs_load32(page + 4) == number;
    if (size < HS_LARGE)
        return hs_load64(page) == hs_block_checksum(page, size, number, 8);
    if (hs_load32(page + 64) != number
        || hs_load64(page) != hs_block_checksum(page, block, number, 8))
        return 0;
    for (i = 1; i < 4; i++)
        if (hs_load64(page + 32 + 8 * i) != hs_block_checksum(page + i * block, block, number, 0))
            return 0;
    return 1;
}

/* Judge `count` pages in a row; returns the index of the good one with the highest dbtime, or -1.
 * states: HS_GOOD etc. of each page; flush: flush type of the good ones, 0 of the others. */
static int64_t hs_scan_pages(const uint8_t *data, uint32_t size, size_t count, uint32_t first,
                             uint8_t *states, uint8_t *flush)
{
    int64_t highest = -1;
    uint64_t dbtime = 0;
    size_t i;
    for (i = 0; i < count; i++, data += size) {
        flush[i] = 0;
        if (hs_is_zero(data, size)) {
            states[i] = HS_UNINITIALIZED;
        } else if (!hs_page_is_good(data, size, first + (uint32_t)i)) {
            states[i] = HS_SUSPECT;
        } else {
            states[i] = HS_GOOD;
            flush[i] = (uint8_t)(hs_load32(data + 36) >> 15 & 3);
            if (hs_load64(data + 8) > dbtime) {
                dbtime = hs_load64(data + 8);
                highest = (int64_t)i;
            }
        }
    }
    return highest;
}

#endif
