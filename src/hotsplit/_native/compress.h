/* Streams of compressed column data. Readable reference: compress_py.py.
 * Source: format specification 9.1 (7-bit), 9.2 (XPRESS).
 * Decoders write exactly the number of bytes asked for, or return a negative error. */
#ifndef HOTSPLIT_COMPRESS_H
#define HOTSPLIT_COMPRESS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { XP_SHORT = -1, XP_BEFORE = -2, XP_LARGER = -3, XP_LENGTH = -4 };
enum { XP_MIN_MATCH = 3, XP_WINDOW = 8192, XP_HASH_BITS = 13 };

/* `stream` must hold count * 7 bits; `out` count * step bytes, zeroed. */
static void seven_decode(const uint8_t *stream, uint8_t *out, size_t count, int step)
{
    unsigned bits = 0, held = 0;
    size_t i;
    for (i = 0; i < count; i++) {
        if (held < 7) {
            bits |= (unsigned)*stream++ << held;
            held += 8;
        }
        out[i * step] = bits & 0x7F;
        bits >>= 7;
        held -= 7;
    }
}

/* `out` must hold (n * 7 + 7) / 8 bytes. Returns -1 on a character above 0x7F. */
static int seven_encode(const uint8_t *data, size_t n, uint8_t *out)
{
    unsigned bits = 0, held = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        if (data[i] > 0x7F)
            return -1;
        bits |= (unsigned)data[i] << held;
        held += 7;
        if (held >= 8) {
            *out++ = (uint8_t)bits;
            bits >>= 8;
            held -= 8;
        }
    }
    if (held)
        *out = (uint8_t)bits;
    return 0;
}

static int xpress_decode_c(const uint8_t *s, size_t n, uint8_t *out, size_t size)
{
    size_t at = 0, done = 0, half = 0, length, distance, i;
    unsigned flag_count = 0, word;
    uint32_t flags = 0;
    int open = 0; /* s[half] still holds a length in its high nibble */
    while (done < size) {
        if (!flag_count) {
            if (n - at < 4)
                return XP_SHORT;
            flags = s[at] | (uint32_t)s[at + 1] << 8 | (uint32_t)s[at + 2] << 16 |
                    (uint32_t)s[at + 3] << 24;
            at += 4;
            flag_count = 32;
        }
        if (!(flags >> --flag_count & 1)) {
            if (at >= n)
                return XP_SHORT;
            out[done++] = s[at++];
            continue;
        }
        if (n - at < 2)
            return XP_SHORT;
        word = s[at] | (unsigned)s[at + 1] << 8;
        at += 2;
        distance = (word >> 3) + 1;
        length = word & 7;
        if (length == 7) {
            if (open) {
                length = s[half] >> 4;
                open = 0;
            } else {
                if (at >= n)
                    return XP_SHORT;
                half = at;
                length = s[at++] & 15;
                open = 1;
            }
            if (length == 15) {
                if (at >= n)
                    return XP_SHORT;
                length = s[at++];
                if (length == 255) {
                    if (n - at < 2)
                        return XP_SHORT;
                    length = s[at] | (size_t)s[at + 1] << 8;
                    at += 2;
                    if (length < 22)
                        return XP_LENGTH;
                    length -= 22;
                }
                length += 15;
            }
            length += 7;
        }
        length += XP_MIN_MATCH;
        if (distance > done)
            return XP_BEFORE;
        if (length > size - done)
            return XP_LARGER;
        if (distance >= length)
            memcpy(out + done, out + done - distance, length);
        else
            for (i = 0; i < length; i++)
                out[done + i] = out[done + i - distance];
        done += length;
    }
    return 0;
}

/* Room that xpress_encode_c may need for n bytes: every item a literal, or a match of 3 bytes
 * with a distance, is at most one byte and one flag bit a byte of input. */
static size_t xpress_room(size_t n)
{
    return n + n / 8 + 20;
}

/* `latest` has 1 << XP_HASH_BITS entries, all -1. Returns the length of the stream. */
static size_t xpress_encode_c(const uint8_t *d, size_t n, uint8_t *out, int32_t *latest)
{
    size_t at = 0, to = 4, flags_at = 0, half = 0, length, rest, limit;
    uint32_t flags = 0;
    unsigned flag_count = 0, slot, nibble;
    int32_t candidate = -1;
    int open = 0;
    while (at < n) {
        if (flag_count == 32) {
            for (nibble = 0; nibble < 4; nibble++)
                out[flags_at + nibble] = (uint8_t)(flags >> 8 * nibble);
            flags_at = to;
            to += 4;
            flags = flag_count = 0;
        }
        length = 0;
        if (n - at >= XP_MIN_MATCH) {
            slot = ((unsigned)d[at] << 5 ^ (unsigned)d[at + 1] << 3 ^ d[at + 2]) &
                   ((1u << XP_HASH_BITS) - 1);
            candidate = latest[slot];
            latest[slot] = (int32_t)at;
            if (candidate >= 0 && at - (size_t)candidate <= XP_WINDOW) {
                limit = n - at < 0xFFFF ? n - at : 0xFFFF;
                while (length < limit && d[candidate + length] == d[at + length])
                    length++;
            }
        }
        flag_count++;
        flags <<= 1;
        if (length < XP_MIN_MATCH) {
            out[to++] = d[at++];
            continue;
        }
        flags |= 1;
        rest = length - XP_MIN_MATCH;
        slot = (unsigned)((at - (size_t)candidate - 1) << 3 | (rest < 7 ? rest : 7));
        out[to++] = (uint8_t)slot;
        out[to++] = (uint8_t)(slot >> 8);
        at += length;
        if (rest < 7)
            continue;
        rest -= 7;
        nibble = rest < 15 ? (unsigned)rest : 15;
        if (open) {
            out[half] |= (uint8_t)(nibble << 4);
            open = 0;
        } else {
            half = to;
            out[to++] = (uint8_t)nibble;
            open = 1;
        }
        if (nibble < 15)
            continue;
        rest -= 15;
        if (rest < 255) {
            out[to++] = (uint8_t)rest;
        } else {
            out[to++] = 255;
            out[to++] = (uint8_t)(length - XP_MIN_MATCH);
            out[to++] = (uint8_t)((length - XP_MIN_MATCH) >> 8);
        }
    }
    if (flag_count == 32) {                  /* the engine's decoder reads the next flags */
        memset(out + to, 0xFF, 4);           /* before it looks for the end */
        to += 4;
    }
    rest = 32 - flag_count;
    flags = rest == 32 ? 0xFFFFFFFFu : flags << rest | ((1u << rest) - 1);
    for (nibble = 0; nibble < 4; nibble++)
        out[flags_at + nibble] = (uint8_t)(flags >> 8 * nibble);
    return to;
}

#endif
