/* Finding the values of a record. Readable reference: record_py.py.
 * Source: format specification 2.4 (tags), 3.1 (nodes), 7.1 (records), 7.5 (tagged columns).
 * Every offset is checked against the bytes at hand before it is used. */
#ifndef HOTSPLIT_RECORD_H
#define HOTSPLIT_RECORD_H

#include <stdint.h>
#include <string.h>

/* What was found for a column. */
enum { HS_VALUE = 0, HS_NULL = 1, HS_ABSENT = 2, HS_DAMAGED = 3, HS_OLD = 4 };
/* How far a record can be trusted. */
enum { HS_SOUND = 0, HS_BAD_TAGGED = 1, HS_BAD_VARIABLE = 2, HS_BAD = 3 };

typedef struct {
    const uint8_t *data;
    uint32_t length;
    uint32_t fixed_last, fixed_end, bitmap; /* highest fixed id, end, offset of the null bitmap */
    uint32_t var_count, var_start;
    uint32_t tagged, tag_count; /* offset of the tagged part, number of entries */
    int trust, large, old;
} hs_record;

typedef struct {
    uint32_t start, length;
    uint8_t header; /* tagged columns: header byte, 0 where there is none */
} hs_span;

static uint32_t hs_u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t hs_tag_order(uint32_t fid, uint32_t derived)
{
    return (derived ? 0 : 0x10000u) | fid;
}

static uint32_t hs_tag_offset(const hs_record *r, uint32_t entry)
{
    return hs_u16(r->data + r->tagged + 4 * entry + 2) & (r->large ? 0x7FFF : 0x1FFF);
}

static uint32_t hs_tag_key(const hs_record *r, uint32_t entry)
{
    const uint8_t *p = r->data + r->tagged + 4 * entry;
    return hs_tag_order(hs_u16(p), hs_u16(p + 2) & 0x8000);
}

/* Check the array of tagged columns: order and offsets. */
static int hs_open_tagged(hs_record *r)
{
    uint32_t size = r->length - r->tagged, entry, offset, before, order, previous = 0;
    r->tag_count = 0;
    if (!size || r->old)
        return HS_SOUND;
    if (size < 4)
        return HS_BAD_TAGGED;
    before = hs_tag_offset(r, 0);
    if (before < 4 || before % 4 || before > size)
        return HS_BAD_TAGGED;
    r->tag_count = before / 4;
    for (entry = 0; entry < r->tag_count; entry++) {
        order = hs_tag_key(r, entry);
        offset = hs_tag_offset(r, entry);
        if ((entry && order <= previous) || offset < before || offset > size)
            return HS_BAD_TAGGED;
        previous = order;
        before = offset;
    }
    return HS_SOUND;
}

static void hs_open(hs_record *r, const uint8_t *data, uint32_t length, int large, int old)
{
    uint32_t used = 0;
    memset(r, 0, sizeof *r);
    r->data = data;
    r->length = length;
    r->large = large;
    r->old = old;
    r->trust = HS_BAD;
    if (length < 4)
        return;
    r->fixed_last = data[0];
    r->fixed_end = hs_u16(data + 2);
    if (r->fixed_last > 127 || r->fixed_end > length ||
        r->fixed_end < 4 + (r->fixed_last + 7) / 8)
        return;
    r->bitmap = r->fixed_end - (r->fixed_last + 7) / 8;
    r->trust = HS_BAD_VARIABLE;
    if (data[1] < 127)
        return;
    r->var_count = data[1] - 127;
    r->var_start = r->fixed_end + 2 * r->var_count;
    if (r->var_start > length)
        return;
    if (r->var_count)
        used = hs_u16(data + r->var_start - 2) & 0x7FFF;
    if (r->var_start + used > length)
        return;
    r->tagged = r->var_start + used;
    r->trust = hs_open_tagged(r);
}

static int hs_fixed(const hs_record *r, uint32_t id, uint32_t offset, uint32_t size, hs_span *out)
{
    uint32_t bit = id - 1;
    if (r->trust == HS_BAD)
        return HS_DAMAGED;
    if (id > r->fixed_last)
        return HS_ABSENT;
    if (r->data[r->bitmap + bit / 8] >> bit % 8 & 1)
        return HS_NULL;
    if (offset < 4 || offset + size > r->bitmap)
        return HS_DAMAGED;
    out->start = offset;
    out->length = size;
    out->header = 0;
    return HS_VALUE;
}

static int hs_variable(const hs_record *r, uint32_t id, hs_span *out)
{
    uint32_t i = id - 128, word, from = 0;
    if (r->trust >= HS_BAD_VARIABLE)
        return HS_DAMAGED;
    if (i >= r->var_count)
        return HS_ABSENT;
    word = hs_u16(r->data + r->fixed_end + 2 * i);
    if (word & 0x8000)
        return HS_NULL;
    if (i)
        from = hs_u16(r->data + r->fixed_end + 2 * i - 2) & 0x7FFF;
    if (word < from || r->var_start + word > r->tagged)
        return HS_DAMAGED;
    out->start = r->var_start + from;
    out->length = word - from;
    out->header = 0;
    return HS_VALUE;
}

/* Find the value of an entry of the array of tagged columns. */
static int hs_tag_value(const hs_record *r, uint32_t entry, hs_span *out)
{
    uint32_t end = r->length - r->tagged, word = hs_u16(r->data + r->tagged + 4 * entry + 2);
    if (entry + 1 < r->tag_count)
        end = hs_tag_offset(r, entry + 1);
    out->start = r->tagged + hs_tag_offset(r, entry);
    out->length = r->tagged + end - out->start;
    out->header = 0;
    if (!r->large && word & 0x2000)
        return HS_NULL;
    if (r->large || word & 0x4000) {
        if (!out->length)
            return HS_DAMAGED;
        out->header = r->data[out->start];
        out->start++;
        out->length--;
    }
    return r->large && out->header & 0x20 ? HS_NULL : HS_VALUE;
}

static inline int hs_tagged(const hs_record *r, uint32_t id, uint32_t derived, hs_span *out)
{
    uint32_t low = 0, high = r->tag_count, middle, order = hs_tag_order(id, derived);
    if (r->trust != HS_SOUND)
        return HS_DAMAGED;
    if (r->old) {
        out->start = r->tagged;
        out->length = r->length - r->tagged;
        return out->length ? HS_OLD : HS_ABSENT;
    }
    while (low < high) {
        middle = (low + high) / 2;
        if (hs_tag_key(r, middle) < order)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->tag_count || hs_tag_key(r, low) != order)
        return HS_ABSENT;
    return hs_tag_value(r, low, out);
}

/* The next value of a column in the tagged part of an old record, from *at on (at first 0).
 * Returns HS_VALUE, HS_NULL, HS_ABSENT when there is none, HS_DAMAGED. out->header is 0, 1 for an
 * intrinsic long value, 5 for a separated one. */
static inline int hs_old_next(const hs_record *r, uint32_t id, uint32_t derived, uint32_t *at, hs_span *out)
{
    uint32_t size = r->length - r->tagged, word, fid, length;
    const uint8_t *p;
    while (*at < size) {
        if (*at + 4 > size)
            return HS_DAMAGED;
        p = r->data + r->tagged + *at;
        fid = hs_u16(p);
        word = hs_u16(p + 2);
        length = word & 0x0FFF;
        if (*at + 4 + length > size)
            return HS_DAMAGED;
        out->start = r->tagged + *at + 4;
        out->length = length;
        out->header = 0;
        *at += 4 + length;
        if (fid != id || !(word & 0x2000) != !derived)
            continue;
        if (word & 0x4000)
            return HS_NULL;
        if (word & 0x8000) {
            if (!length)
                return HS_DAMAGED;
            out->header = p[4] & 1 ? 5 : 1;
            out->start++;
            out->length--;
        }
        return HS_VALUE;
    }
    return HS_ABSENT;
}

/* A page of one of the five sizes. */
typedef struct {
    const uint8_t *data;
    uint32_t size, head, mask;   /* bytes, bytes of the header, bits of an offset */
    uint32_t flags, objid, previous, next;
    uint32_t count, first;       /* lines, line of the first node */
    uint32_t prefix, prefix_length; /* what nodes of the page can share, offset in the page */
} hs_page;

typedef struct {
    uint32_t shared, key, key_length, data, length, flags; /* offsets in the page */
} hs_node;

static uint32_t hs_u32(const uint8_t *p)
{
    return hs_u16(p) | hs_u16(p + 2) << 16;
}

static int hs_is_page_size(size_t size)
{
    return size == 2048 || size == 4096 || size == 8192 || size == 16384 || size == 32768;
}

/* Returns 0, or -1 if the tag array overlaps the page header. */
static int hs_open_page(hs_page *p, const uint8_t *data, uint32_t size)
{
    uint32_t state = hs_u16(data + 34), start, length;
    const uint8_t *tag = data + size - 4;
    p->data = data;
    p->size = size;
    p->head = size <= 8192 ? 40 : 80;
    p->mask = size <= 8192 ? 0x1FFF : 0x7FFF;
    p->previous = hs_u32(data + 16);
    p->next = hs_u32(data + 20);
    p->objid = hs_u32(data + 24);
    p->flags = hs_u32(data + 36);
    p->count = state & 0xFFF;
    p->first = state >> 12 & 7;
    if (!p->first)
        p->first = 1;
    p->prefix = p->prefix_length = 0;
    if (p->head + 4 * p->count > size)
        return -1;
    if (p->count && !(p->flags & 1)) {
        start = p->head + (hs_u16(tag + 2) & p->mask);
        length = hs_u16(tag) & p->mask;
        if (start + length <= size - 4 * p->count) {
            p->prefix = start;
            p->prefix_length = length;
        }
    }
    return 0;
}

/* Find the node in `line`, which is below the count; returns 0, or -1 if it does not fit. */
static int hs_find_node(const hs_page *p, uint32_t line, hs_node *n)
{
    uint32_t at = p->size - 4 * (line + 1), start = hs_u16(p->data + at + 2);
    uint32_t length = hs_u16(p->data + at) & p->mask, end, step = 0;
    n->flags = start >> 13;
    start = p->head + (start & p->mask);
    if (start + length > p->size - 4 * p->count || length < 2)
        return -1;
    if (p->head == 80)
        n->flags = hs_u16(p->data + start) >> 13;
    end = start + length;
    n->shared = 0;
    if (n->flags & 4) {
        n->shared = hs_u16(p->data + start) & 0x1FFF;
        step = 2;
        if (length < 4)
            return -1;
    }
    n->key = start + step + 2;
    n->key_length = hs_u16(p->data + start + step) & 0x1FFF;
    if (n->key + n->key_length > end || n->shared > p->prefix_length)
        return -1;
    n->data = n->key + n->key_length;
    n->length = end - n->data;
    return 0;
}

/* Write the whole key of a node; `to` has room for shared + key_length bytes. */
static inline void hs_copy_key(const hs_page *p, const hs_node *n, uint8_t *to)
{
    memcpy(to, p->data + p->prefix, n->shared);
    memcpy(to + n->shared, p->data + n->key, n->key_length);
}

#endif
