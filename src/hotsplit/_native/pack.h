/* Records and keys of new rows, put together from the bytes of their values. See pack_py.py for the
 * readable form; format specification 7.1, 7.3, 7.5, 10.1 to 10.3. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_PACK_H
#define HOTSPLIT_PACK_H

#include "indexkey.h"

#define HS_FIRST_VARIABLE 128u
#define HS_FIRST_TAGGED 256u
#define HS_LONG 1u                           /* header byte of a value of a long type */

/* size: of a fixed column, else the most bytes of a value. end: of a fixed column or one before. */
typedef struct {
    uint32_t id, kind, size, offset, end;
    uint8_t pad;
    int required, is_long;
    const uint8_t *preset;                   /* default value, or NULL */
    uint32_t preset_length;
} hs_column;

typedef struct {
    const uint8_t *data;
    uint32_t length;
    int state;                               /* HS_VALUE, HS_NULL, HS_ABSENT */
} hs_cell;

/* Columns in order of their ids: fixed, variable, tagged ones. tagged: numbers of those given. */
typedef struct {
    const hs_column *columns;
    const hs_cell *cells;
    uint32_t fixed, variable, most;
    int large;
    const uint32_t *tagged;
    uint32_t tagged_count;
} hs_row;

/* The bytes of a value that is in the record or that readers take for it; 0 for NULL. */
static int hs_effective(const hs_column *c, const hs_cell *cell, const uint8_t **data,
                        uint32_t *length)
{
    *data = cell->data;
    *length = cell->length;
    if (cell->state == HS_ABSENT && c->preset) {
        *data = c->preset;
        *length = c->preset_length;
        return 1;
    }
    return cell->state == HS_VALUE;
}

/* The fixed columns up to the last one given. Returns where they end, 0 if they do not fit. */
static uint32_t hs_pack_fixed(const hs_row *r, uint8_t *out)
{
    uint32_t i, count = 0, id, end, width;
    uint8_t *nulls;
    for (i = 0; i < r->fixed; i++)
        if (r->cells[i].state != HS_ABSENT)
            count = i + 1;
    id = count ? r->columns[count - 1].id : 0;
    end = count ? r->columns[count - 1].end : 4;
    width = (id + 7) / 8;
    if (end + width > r->most)
        return 0;
    memset(out, 0, end);
    nulls = out + end;
    memset(nulls, 0xFF, width);
    for (i = 0; i < count; i++) {
        const hs_column *c = &r->columns[i];
        const uint8_t *data;
        uint32_t length;
        if (!hs_effective(c, &r->cells[i], &data, &length))
            continue;
        if (length > c->size)
            return 0;
        memcpy(out + c->offset, data, length);
        memset(out + c->offset + length, c->pad, c->size - length);
        nulls[(c->id - 1) / 8] &= (uint8_t)~(1u << (c->id - 1) % 8);
    }
    out[0] = (uint8_t)id;
    hs_put16(out + 2, end + width);
    return end + width;
}

/* The variable columns up to the last one given. Returns where they end, 0 if they do not fit. */
static uint32_t hs_pack_variable(const hs_row *r, uint8_t *out, uint32_t at)
{
    const hs_column *c = r->columns + r->fixed, *end = c + r->variable, *last = NULL;
    const hs_cell *cell = r->cells + r->fixed;
    uint32_t words = at, area = 0, id, count;
    uint8_t *bytes;
    for (; c < end; c++)
        if (cell[c - (r->columns + r->fixed)].state != HS_ABSENT)
            last = c;
    out[1] = (uint8_t)(last ? last->id : HS_FIRST_VARIABLE - 1);
    if (!last)
        return at;
    count = last->id - HS_FIRST_VARIABLE + 1;
    if (at + 2 * count > r->most)
        return 0;
    bytes = out + at + 2 * count;
    c = r->columns + r->fixed;
    for (id = HS_FIRST_VARIABLE; id <= last->id; id++, words += 2) {
        const uint8_t *data;
        uint32_t length;
        int there = c->id == id;             /* else the column was deleted */
        if (there && hs_effective(c, cell, &data, &length)) {
            if (length > r->most - at - 2 * count - area)
                return 0;
            memcpy(bytes + area, data, length);
            area += length;
            hs_put16(out + words, area);
        } else
            hs_put16(out + words, area | 0x8000u);
        c += there;
        cell += there;
    }
    return at + 2 * count + area;
}

/* The tagged columns that were given. Returns where they end, 0 if they do not fit. */
static uint32_t hs_pack_tagged(const hs_row *r, uint8_t *out, uint32_t at)
{
    uint32_t i, offset = 4 * r->tagged_count, mask = r->large ? 0x7FFFu : 0x1FFFu;
    if (at + offset > r->most)
        return 0;
    for (i = 0; i < r->tagged_count; i++) {
        const hs_column *c = &r->columns[r->tagged[i]];
        const hs_cell *cell = &r->cells[r->tagged[i]];
        uint32_t header = c->is_long ? HS_LONG : 0, word = offset;
        if (cell->length + (r->large || header) > r->most - at - offset)
            return 0;
        if (!r->large && header)
            word |= 0x4000u;
        if (r->large || header)
            out[at + offset++] = (uint8_t)header;
        memcpy(out + at + offset, cell->data, cell->length);
        hs_put16(out + at + 4 * i, c->id);
        hs_put16(out + at + 4 * i + 2, word);
        offset += cell->length;
    }
    return offset > mask ? 0 : at + offset;
}

/* Put a record together in `out`, which has room for `most` bytes. Returns its size, or 0. */
static uint32_t hs_pack(const hs_row *r, uint8_t *out)
{
    uint32_t at = hs_pack_fixed(r, out);
    if (at)
        at = hs_pack_variable(r, out, at);
    return at ? hs_pack_tagged(r, out, at) : 0;
}

#endif
