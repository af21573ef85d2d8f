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

static int hs_tagged(const hs_record *r, uint32_t id, uint32_t derived, hs_span *out)
{
    uint32_t low = 0, high = r->tag_count, middle, order = hs_tag_order(id, derived), end, word;
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
    end = low + 1 < r->tag_count ? hs_tag_offset(r, low + 1) : r->length - r->tagged;
    word = hs_u16(r->data + r->tagged + 4 * low + 2);
    out->start = r->tagged + hs_tag_offset(r, low);
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

typedef struct {
    uint32_t shared, key, key_length, data, length, flags; /* offsets in the page */
} hs_node;

/* Find node `line` of a page; returns 0, or -1 if it does not fit. */
static int hs_find_node(const uint8_t *page, uint32_t size, uint32_t line, hs_node *n)
{
    uint32_t head = size <= 8192 ? 40 : 80, mask = size <= 8192 ? 0x1FFF : 0x7FFF;
    uint32_t count = hs_u16(page + 34) & 0xFFF, at = size - 4 * (line + 1);
    uint32_t start = hs_u16(page + at + 2), length = hs_u16(page + at) & mask, end, step = 0;
    n->flags = start >> 13;
    start = head + (start & mask);
    if (start + length > size - 4 * count || length < 2)
        return -1;
    if (head == 80)
        n->flags = hs_u16(page + start) >> 13;
    end = start + length;
    n->shared = 0;
    if (n->flags & 4) {
        n->shared = hs_u16(page + start) & 0x1FFF;
        step = 2;
        if (length < 4)
            return -1;
    }
    n->key = start + step + 2;
    n->key_length = hs_u16(page + start + step) & 0x1FFF;
    if (n->key + n->key_length > end)
        return -1;
    n->data = n->key + n->key_length;
    n->length = end - n->data;
    return 0;
}

#endif
