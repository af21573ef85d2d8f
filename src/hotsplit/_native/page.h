/* Editing the lines of a database page. See page_py.py for the readable form of every function and
 * for the layouts; format specification 2.1, 2.4, 2.5, 3.1. Plain C: knows nothing of Python.
 *
 * Functions return NULL on success, else a message; a failed call leaves the page as it was.
 */
#ifndef HOTSPLIT_PAGE_H
#define HOTSPLIT_PAGE_H

#include <stdint.h>
#include <string.h>

#define HS_PAGE_MAX 32768u
#define HS_SMALL_MAX 8192u
#define HS_NODE_VERSION 1u
#define HS_NODE_DELETED 2u
#define HS_NODE_COMPRESSED 4u

static inline uint16_t hs_get16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t hs_get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t hs_get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void hs_put16(uint8_t *p, uint32_t v) { uint16_t w = (uint16_t)v; memcpy(p, &w, 2); }
static inline void hs_put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void hs_put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

static inline uint32_t hs_head(uint32_t size) { return size <= HS_SMALL_MAX ? 40u : 80u; }
static inline uint32_t hs_free(const uint8_t *p) { return hs_get16(p + 28); }
static inline uint32_t hs_mic(const uint8_t *p) { return hs_get16(p + 32); }
static inline uint32_t hs_count(const uint8_t *p) { return hs_get16(p + 34) & 0xFFFu; }
static inline uint32_t hs_reserved(const uint8_t *p)
{
    uint32_t n = (hs_get16(p + 34) >> 12) & 7u;
    return n ? n : 1u;
}

static inline void hs_set_count(uint8_t *p, uint32_t count)
{
    hs_put16(p + 34, (hs_get16(p + 34) & 0xF000u) | count);
}

static inline void hs_set_free(uint8_t *p, uint32_t value)
{
    hs_put16(p + 28, value);
    if (hs_get16(p + 30) > value)
        hs_put16(p + 30, value);
}

typedef struct { uint32_t start, length, flags; } hs_line;

static inline hs_line hs_tag(const uint8_t *p, uint32_t size, uint32_t line)
{
    const uint8_t *at = p + size - 4 * (line + 1);
    uint32_t length = hs_get16(at), start = hs_get16(at + 2);
    hs_line r;
    if (size <= HS_SMALL_MAX) {
        r.start = start & 0x1FFFu;
        r.length = length & 0x1FFFu;
        r.flags = start >> 13;
        return r;
    }
    r.start = start & 0x7FFFu;
    r.length = length & 0x7FFFu;
    r.flags = 0;
    if (line && r.length >= 2 && 80 + r.start + 2 <= size)
        r.flags = hs_get16(p + 80 + r.start) >> 13;
    return r;
}

static inline void hs_set_tag(uint8_t *p, uint32_t size, uint32_t line, hs_line t)
{
    uint8_t *at = p + size - 4 * (line + 1);
    hs_put16(at, t.length);
    if (size <= HS_SMALL_MAX) {
        hs_put16(at + 2, t.start | t.flags << 13);
        return;
    }
    hs_put16(at + 2, t.start);
    if (line && t.length >= 2) {
        uint8_t *first = p + 80 + t.start;
        hs_put16(first, (hs_get16(first) & 0x1FFFu) | t.flags << 13);
    }
}

static const char *hs_check(const uint8_t *p, uint32_t size)
{
    uint16_t at[HS_PAGE_MAX];
    uint32_t room = size - hs_head(size), count = hs_count(p), mic = hs_mic(p), used = 4 * count;
    uint32_t line, pos, end = 0;
    if (used > room || mic > room - used || hs_free(p) > room)
        return "the tag array overlaps the data";
    memset(at, 0, 2 * (mic + 1));
    for (line = 0; line < count; line++) {
        hs_line t = hs_tag(p, size, line);
        if (!t.length)
            continue;
        if (t.start + t.length > mic)
            return "a line reaches beyond the used part of the page";
        if (at[t.start])
            return "two lines overlap";
        at[t.start] = (uint16_t)t.length;
        used += t.length;
    }
    if (used + hs_free(p) != room)
        return "the free space differs from what the header says";
    for (pos = 0; pos < mic; pos++)
        if (at[pos]) {
            if (pos < end)
                return "two lines overlap";
            end = pos + at[pos];
        }
    return NULL;
}

/* The line, its start counted from the beginning of the page. */
static inline const char *hs_locate(const uint8_t *p, uint32_t size, uint32_t line, hs_line *t)
{
    uint32_t count = hs_count(p);
    if (line >= count)
        return "no such line";
    if (hs_head(size) + 4 * count > size)
        return "the tag array overlaps the header";
    *t = hs_tag(p, size, line);
    t->start += hs_head(size);
    if (t->start + t->length > size - 4 * count)
        return "a line reaches into the tag array";
    return NULL;
}

/* Move all lines together at the front; the bytes of line `skip` are not kept. */
static const char *hs_compact(uint8_t *p, uint32_t size, uint32_t skip)
{
    uint8_t old[HS_PAGE_MAX];
    uint32_t head = hs_head(size), count = hs_count(p), line, end = 0, total = 0;
    for (line = 0; line < count; line++) {
        hs_line t;
        const char *why = hs_locate(p, size, line, &t);
        if (why)
            return why;
        total += line == skip ? 0 : t.length;
    }
    if (head + total + 4 * count > size)
        return "two lines overlap";
    memcpy(old, p, size);
    for (line = 0; line < count; line++) {
        hs_line t = hs_tag(old, size, line);
        if (line == skip)
            continue;
        memcpy(p + head + end, old + head + t.start, t.length);
        t.start = end;
        hs_set_tag(p, size, line, t);
        end += t.length;
    }
    hs_put16(p + 32, end);
    return NULL;
}

/* Contiguous free bytes; negative on a damaged page. */
static inline int32_t hs_room(const uint8_t *p, uint32_t size)
{
    return (int32_t)size - (int32_t)(hs_head(size) + 4 * hs_count(p) + hs_mic(p));
}

/* Open a gap of `need` bytes as line `line` and point *at to it. */
static const char *hs_insert_gap(uint8_t *p, uint32_t size, uint32_t line, uint32_t need,
                                 uint32_t flags, uint8_t **at)
{
    uint32_t count = hs_count(p), free_now = hs_free(p);
    hs_line t;
    if (line > count || count >= 0xFFF)
        return "insert as a line that cannot be";
    if (need + 4 > free_now)
        return "not enough free space on the page";
    if ((int32_t)need + 4 > hs_room(p, size)) {
        const char *why = hs_compact(p, size, 0xFFFFu);
        if (why)
            return why;
        if ((int32_t)need + 4 > hs_room(p, size))
            return "the free space differs from what the header says";
    }
    memmove(p + size - 4 * (count + 1), p + size - 4 * count, 4 * (count - line));
    hs_set_count(p, count + 1);
    t.start = hs_mic(p);
    t.length = need;
    t.flags = flags;
    hs_put16(p + 32, t.start + need);
    *at = p + hs_head(size) + t.start;
    if (need >= 2)
        hs_put16(*at, 0); /* the flags of a large page live here: set_tag keeps the other bits */
    hs_set_tag(p, size, line, t);
    hs_set_free(p, free_now - need - 4);
    return NULL;
}

static const char *hs_insert(uint8_t *p, uint32_t size, uint32_t line, const uint8_t *data,
                             uint32_t need, uint32_t flags)
{
    uint8_t *at;
    hs_line t;
    const char *why = hs_insert_gap(p, size, line, need, flags, &at);
    if (why)
        return why;
    memcpy(at, data, need);
    t.start = (uint32_t)(at - p) - hs_head(size);
    t.length = need;
    t.flags = flags;
    hs_set_tag(p, size, line, t);
    return NULL;
}

static const char *hs_replace(uint8_t *p, uint32_t size, uint32_t line, const uint8_t *data,
                              uint32_t need, uint32_t flags)
{
    uint32_t head = hs_head(size), free_now = hs_free(p);
    hs_line t;
    const char *why = hs_locate(p, size, line, &t);
    if (why)
        return why;
    if (need > free_now + t.length)
        return "not enough free space on the page";
    free_now += t.length;
    if (free_now - need > size - head)
        return "the free space differs from what the header says";
    t.start -= head;
    if (need > t.length) {
        uint32_t mic = hs_mic(p);
        if (t.start + t.length == mic)
            hs_put16(p + 32, t.start);
        if ((int32_t)need > hs_room(p, size)) {
            why = hs_compact(p, size, line);
            if (!why && (int32_t)need > hs_room(p, size))
                why = "the free space differs from what the header says";
            if (why) {
                if (t.start + t.length == mic)
                    hs_put16(p + 32, mic);
                return why;
            }
        }
        t.start = hs_mic(p);
        hs_put16(p + 32, t.start + need);
    }
    memcpy(p + head + t.start, data, need);
    t.length = need;
    t.flags = flags;
    hs_set_tag(p, size, line, t);
    hs_set_free(p, free_now - need);
    return NULL;
}

static const char *hs_delete(uint8_t *p, uint32_t size, uint32_t line)
{
    uint32_t count = hs_count(p);
    hs_line t;
    const char *why = hs_locate(p, size, line, &t);
    if (why)
        return why;
    if (hs_free(p) + t.length + 4 > size - hs_head(size))
        return "the free space differs from what the header says";
    memmove(p + size - 4 * (count - 1), p + size - 4 * count, 4 * (count - 1 - line));
    hs_set_count(p, count - 1);
    if (t.start - hs_head(size) + t.length == hs_mic(p))
        hs_put16(p + 32, t.start - hs_head(size));
    hs_put16(p + 28, hs_free(p) + t.length + 4);
    return NULL;
}

static const char *hs_set_flags(uint8_t *p, uint32_t size, uint32_t line, uint32_t flags)
{
    hs_line t;
    const char *why = hs_locate(p, size, line, &t);
    if (why)
        return why;
    t.start -= hs_head(size);
    t.flags = flags;
    hs_set_tag(p, size, line, t);
    return NULL;
}

#endif
