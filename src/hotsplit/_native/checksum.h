/* Checksums of pages, headers and log segments; see checksum_py.py for the readable form.
 *
 * The index bits of all set bits are found without looking at bits: the parity of index bit k is the
 * parity of the XOR of all dwords whose index has bit k. Chunks of 16 dwords are folded as vectors.
 */
#ifndef HOTSPLIT_CHECKSUM_H
#define HOTSPLIT_CHECKSUM_H

#include <stdint.h>
#include <string.h>

typedef uint32_t hs_chunk __attribute__((vector_size(64), aligned(4)));

static inline uint32_t hs_parity(uint32_t x) { return (uint32_t)__builtin_parity(x); }

static uint32_t hs_fold_chunk(const uint32_t *w)
{
    uint32_t x = 0, i;
    for (i = 0; i < 16; i++)
        x ^= w[i];
    return x;
}

static uint64_t hs_block_checksum(const uint8_t *data, uint32_t size, uint32_t number, uint32_t skip)
{
    hs_chunk all = {0}, by_bit[7] = {{0}};
    uint32_t words[16], c, k, x, low, chunks = size / 64, bits = 8 * size;
    for (c = 0; c < chunks; c++) {
        hs_chunk v;
        memcpy(&v, data + 64 * c, 64);
        if (!c && skip)
            v[0] = v[1] = 0;
        all ^= v;
        for (k = 0; k < 7; k++)
            if (c >> k & 1)
                by_bit[k] ^= v;
    }
    memcpy(words, &all, 64);
    x = hs_fold_chunk(words);
    low = 0;
    for (k = 0; k < 32; k++)
        if (x >> k & 1)
            low ^= k;
    for (k = 0; k < 16; k++)
        if (hs_parity(words[k]))
            low ^= k << 5;
    for (k = 0; k < 7; k++) {
        uint32_t part[16];
        memcpy(part, &by_bit[k], 64);
        if (hs_parity(hs_fold_chunk(part)))
            low ^= 1u << (9 + k);
    }
    return (uint64_t)((low ^ (hs_parity(x) ? bits - 1 : 0)) << 16 | low) << 32 | (x ^ number);
}

static uint32_t hs_xor_checksum(const uint8_t *data, size_t size)
{
    uint32_t x = 0x89ABCDEFu, w;
    size_t i;
    for (i = 4; i + 4 <= size; i += 4) {
        memcpy(&w, data + i, 4);
        x ^= w;
    }
    return x;
}

#endif
