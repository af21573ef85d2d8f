/* Segments of index keys, but for Unicode text. Readable reference: indexkey_py.py.
 * Source: format specification 10.1 to 10.3. */
#ifndef HOTSPLIT_KEYSEGMENT_H
#define HOTSPLIT_KEYSEGMENT_H

#include <stdint.h>
#include <string.h>

/* What normalises a value. */
enum {
    HS_N_BIT, HS_N_UNSIGNED, HS_N_SIGNED, HS_N_FLOAT, HS_N_GUID, HS_N_GUID_NET,
    HS_N_FIXED_BINARY, HS_N_BINARY, HS_N_TEXT, HS_N_UNICODE
};

typedef struct {
    uint32_t id, offset, size;   /* size: of a fixed-size type, else 0 */
    int derived, normal, descending, multi, must_be_null, callback;
    const uint8_t *preset;       /* default value, or NULL */
    uint32_t preset_length;
} hs_segment;

/* Normalising. Each writes a segment of at most `room` bytes and returns its length. */

static uint32_t hs_put_segment(uint8_t *key, uint32_t room, const uint8_t *body, uint32_t length)
{
    uint32_t fits = length + 1 < room ? length : room - 1;
    key[0] = 0x7F;
    memcpy(key + 1, body, fits);
    return fits + 1;
}

static uint32_t hs_norm_number(const hs_segment *s, const uint8_t *data, uint8_t *key, uint32_t room)
{
    static const uint8_t guid[16] = {10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3};
    static const uint8_t net[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t body[16] = {0};
    uint32_t i, size = s->size;
    if (s->normal == HS_N_BIT) {
        body[0] = data[0] ? 0xFF : 0;
    } else if (s->normal == HS_N_GUID || s->normal == HS_N_GUID_NET) {
        for (i = 0; i < 16; i++)
            body[i] = data[s->normal == HS_N_GUID ? guid[i] : net[i]];
    } else {
        for (i = 0; i < size; i++)
            body[i] = data[size - 1 - i];
        if (s->normal == HS_N_FLOAT && body[0] & 0x80)
            for (i = 0; i < size; i++)
                body[i] = (uint8_t)~body[i];
        else if (s->normal != HS_N_UNSIGNED)
            body[0] ^= 0x80;
    }
    return hs_put_segment(key, room, body, size);
}

/* Groups of 8 bytes, each followed by a count: 9 if more follows, else how many are used. */
static uint32_t hs_norm_binary(const uint8_t *data, uint32_t length, uint8_t *key, uint32_t room)
{
    uint32_t full = 1 + 9 * ((length + 7) / 8), end = full < room ? full : room, at = 1, part;
    key[0] = 0x7F;
    for (; end - at >= 9; at += 9) {
        part = length < 8 ? length : 8;
        memset(key + at, 0, 8);
        memcpy(key + at, data, part);
        data += part;
        length -= part;
        key[at + 8] = (uint8_t)(length || (part == 8 && end < full) ? 9 : part);
    }
    part = length < end - at ? length : end - at;
    memcpy(key + at, data, part);
    memset(key + at + part, 0, end - at - part);
    return end;
}

static uint8_t hs_upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* Upper case up to the first NUL. The last byte that fits is lowered by 32 whatever it is. */
static uint32_t hs_norm_text(const uint8_t *data, uint32_t length, uint8_t *key, uint32_t room)
{
    uint32_t most = room - 1, n = most > length ? length : most ? most - 1 : 0, i;
    key[0] = 0x7F;
    if (!most)
        return 1;
    for (i = 0; i < n && data[i]; i++)
        key[1 + i] = hs_upper(data[i]);
    key[1 + i] = most <= length && i == n && data[n] ? (uint8_t)(data[n] - 32) : 0;
    return i + 2;
}

#endif
