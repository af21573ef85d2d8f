/* Decoding leaf pages into columns. Readable reference: batch_py.py.
 * Source: format specification 4.3 (scan), 7.1 (records), 7.5 (tagged columns), 7.7 (old records),
 * 9 (compression). */
#ifndef HOTSPLIT_BATCH_H
#define HOTSPLIT_BATCH_H

#include "columns.h"
#include "gather.h"

/* What a value still needs, or what is wrong with it. */
enum {
    HB_LONG = 1,      /* separated: the payload is the long-value id as stored */
    HB_COMPRESSED,    /* a scheme that is not decoded here, or damaged: the payload as stored */
    HB_TEXT,          /* bytes that are no text in UTF-16, or of a rare code page */
    HB_ENCRYPTED,     /* the value is null */
    HB_BAD_RECORD,    /* the value is null */
    HB_BAD_PLACE,     /* the value is null */
    HB_BAD_SIZE,      /* the value is null */
    HB_BAD_VALUES,    /* the value is null */
    HB_BAD_NODE       /* there is no row */
};
enum { HB_NO_ELEMENT = 0xFFFFFFFFu, HB_INTRINSIC_MOST = 0x7FFF, HB_SCRATCH = 0x10000 };

typedef struct {
    uint32_t column, row, element, code, start, length, pgno, line;
} hb_pending;

typedef struct {
    uint32_t pgno;
    uint16_t line;
    uint16_t label;
} hb_place;

typedef struct {
    hb_column *columns, *keys; /* keys: NULL unless bookmarks are wanted */
    uint32_t count;
    uint32_t *fixed, *variable, fixed_count, variable_count; /* numbers of such columns */
    uint32_t *slots, low_id, id_count, tagged_count; /* 1 + column by [derived][id - low_id] */
    uint32_t *tagged;
    uint32_t rows, most_rows, most_pending;
    size_t bytes, most_bytes; /* of values that differ in size */
    hb_buffer pending, payload, places;
    hb_buffer trail; /* numbers of the pages visited */
    uint32_t pgno, line, wanted, label; /* wanted: bit 0 live rows, bit 1 deleted rows */
    uint8_t *scratch;
} hb_builder;

static int hb_note(hb_builder *b, uint32_t column, uint32_t element, uint32_t code,
                   const uint8_t *p, uint32_t n)
{
    hb_pending note = {column, b->rows, element, code, (uint32_t)b->payload.used, n, b->pgno,
                       b->line};
    if (hb_reserve(&b->pending, sizeof note) || hb_reserve(&b->payload, n))
        return HB_NO_MEMORY;
    memcpy(b->pending.data + b->pending.used, &note, sizeof note);
    b->pending.used += sizeof note;
    if (n)
        memcpy(b->payload.data + b->payload.used, p, n);
    b->payload.used += n;
    return HB_TAKEN;
}

/* Add an element that someone else must fill. */
static int hb_defer(hb_builder *b, uint32_t column, uint32_t code, const uint8_t *p, uint32_t n)
{
    hb_column *c = &b->columns[column];
    if (hb_note(b, column, c->elements, code, p, n) ||
        (!c->listed && hb_set_bit(&c->row_validity, c->elements)))
        return HB_NO_MEMORY;
    return hb_add_nulls(c, 1);
}

static int hb_plain(hb_builder *b, uint32_t column, const uint8_t *p, uint32_t n)
{
    hb_column *c = &b->columns[column];
    int status;
    if (c->size && n != c->size)
        return n ? hb_defer(b, column, HB_BAD_SIZE, p, 0) : hb_add_nulls(c, 1);
    if (hb_has_ends(c))
        b->bytes += n;
    status = hb_add_value(c, p, n);
    return status == HB_NO_TEXT ? hb_defer(b, column, HB_TEXT, p, n) : status;
}

/* Decompress into the scratch buffer; returns the number of bytes, or -1. */
static int64_t hb_decompress(uint8_t *scratch, const uint8_t *p, uint32_t n)
{
    int64_t count, size;
    int wide, scheme = n ? p[0] >> 3 : 0;
    if (scheme == 1 || scheme == 2) {
        wide = scheme == 2;
        count = (((int64_t)n - 2) * 8 + (p[0] & 7) + 1) / 7;
        count = count < 0 ? 0 : count;
        size = count << wide;
        if (size > HB_INTRINSIC_MOST)
            return -1;
        memset(scratch, 0, (size_t)size);
        seven_decode(p + 1, scratch, (size_t)count, 1 << wide);
        return size;
    }
    if (scheme != 3 || n < 3)
        return -1;
    size = p[1] | p[2] << 8;
    if (size > HB_INTRINSIC_MOST)
        return -1;
    if (n - 3 == size)
        memcpy(scratch, p + 3, (size_t)size);
    else if (xpress_decode_c(p + 3, n - 3, scratch, (size_t)size))
        return -1;
    return size;
}

static int hb_instance(hb_builder *b, uint32_t column, const uint8_t *p, uint32_t n,
                       int separated, int compressed)
{
    int64_t size;
    if (separated)
        return hb_defer(b, column, HB_LONG, p, n);
    if (!compressed)
        return hb_plain(b, column, p, n);
    size = hb_decompress(b->scratch, p, n);
    if (size < 0)
        return hb_defer(b, column, HB_COMPRESSED, p, n);
    return hb_plain(b, column, b->scratch, (uint32_t)size);
}

/* A row of a column is null for a reason that must be told. */
static int hb_bad(hb_builder *b, uint32_t column, uint32_t code)
{
    hb_column *c = &b->columns[column];
    if (hb_note(b, column, HB_NO_ELEMENT, code, NULL, 0))
        return HB_NO_MEMORY;
    return hb_add_null_rows(c, 1);
}

/* Number of values in an entry with an array of offsets, 0 where it is damaged. */
static uint32_t hb_count_values(const uint8_t *p, uint32_t n)
{
    uint32_t first = n >= 2 ? hs_u16(p) & 0x7FFF : 0, i, before, at;
    if (first < 2 || first % 2 || first > n)
        return 0;
    before = first;
    for (i = 1; i < first / 2; i++) {
        at = hs_u16(p + 2 * i) & 0x7FFF;
        if (at < before || at > n)
            return 0;
        before = at;
    }
    return first / 2;
}

static int hb_many(hb_builder *b, uint32_t column, const uint8_t *p, uint32_t n, uint32_t header)
{
    uint32_t count, i, word, start, end;
    if (hb_make_lists(&b->columns[column]))
        return HB_NO_MEMORY;
    if (header & 0x10) {
        if (!n || 1u + p[0] > n)
            return hb_bad(b, column, HB_BAD_VALUES);
        if (hb_plain(b, column, p + 1, p[0]) ||
            hb_plain(b, column, p + 1 + p[0], n - 1 - p[0]))
            return HB_NO_MEMORY;
        return hb_end_row(&b->columns[column]);
    }
    count = hb_count_values(p, n);
    if (!count)
        return hb_bad(b, column, HB_BAD_VALUES);
    for (i = 0; i < count; i++) {
        word = hs_u16(p + 2 * i);
        start = word & 0x7FFF;
        end = i + 1 < count ? hs_u16(p + 2 * i + 2) & 0x7FFF : n;
        if (hb_instance(b, column, p + start, end - start, word & 0x8000, !i && header & 2))
            return HB_NO_MEMORY;
    }
    return hb_end_row(&b->columns[column]);
}

/* Add the value of the current row; the column is filled up to it. */
static int hb_take_value(hb_builder *b, uint32_t column, const uint8_t *p, const hs_span *s)
{
    hb_column *c = &b->columns[column];
    uint32_t header = s->header;
    if (header & 0x40)
        return hb_bad(b, column, HB_ENCRYPTED);
    if (header & 8)
        return hb_many(b, column, p, s->length, header);
    if (header < 2 && c->size && !s->length)
        return hb_add_null_rows(c, 1);
    if (header < 2 && c->size && s->length != c->size)
        return hb_bad(b, column, HB_BAD_SIZE);
    if (hb_instance(b, column, p, s->length, header & 4, header & 2))
        return HB_NO_MEMORY;
    return hb_end_row(c);
}

static int hb_take_old(hb_builder *b, uint32_t column, const hs_record *r)
{
    hb_column *c = &b->columns[column];
    uint32_t at = 0, count = 0;
    hs_span span;
    int state;
    while ((state = hs_old_next(r, c->id, c->derived, &at, &span)) == HS_VALUE)
        count++;
    if (state == HS_NULL)
        return hb_add_null_rows(c, 1);
    if (state == HS_DAMAGED)
        return hb_bad(b, column, HB_BAD_RECORD);
    if (!count)
        return hb_pad(c, b->rows + 1);
    if (count > 1 && hb_make_lists(c))
        return HB_NO_MEMORY;
    for (at = 0; hs_old_next(r, c->id, c->derived, &at, &span) == HS_VALUE;)
        if (hb_instance(b, column, r->data + span.start, span.length, span.header & 4, 0))
            return HB_NO_MEMORY;
    return hb_end_row(c);
}

static int hb_take(hb_builder *b, uint32_t column, int state, const hs_record *r,
                   const hs_span *s, int trusted)
{
    hb_column *c = &b->columns[column];
    if (state == HS_ABSENT || (state == HS_NULL && !c->fallback))
        return HB_TAKEN; /* filled up when there is something to write */
    if (hb_pad(c, b->rows))
        return HB_NO_MEMORY;
    if (state == HS_NULL)
        return hb_add_null_rows(c, 1);
    if (state == HS_OLD)
        return hb_take_old(b, column, r);
    if (state == HS_DAMAGED)
        return hb_bad(b, column, trusted ? HB_BAD_PLACE : HB_BAD_RECORD);
    return hb_take_value(b, column, r->data + s->start, s);
}

/* Take all wanted tagged columns from the entries of a record. */
static int hb_take_entries(hb_builder *b, const hs_record *r)
{
    uint32_t entry, fid, derived, slot;
    const uint8_t *p;
    hs_span span;
    int state;
    for (entry = 0; entry < r->tag_count; entry++) {
        p = r->data + r->tagged + 4 * entry;
        fid = hs_u16(p);
        derived = hs_u16(p + 2) >> 15;
        if (fid < b->low_id || fid - b->low_id >= b->id_count)
            continue;
        slot = b->slots[derived * b->id_count + fid - b->low_id];
        if (!slot)
            continue;
        state = hs_tag_value(r, entry, &span);
        for (; slot; slot = b->columns[slot - 1].twin)
            if (hb_take(b, slot - 1, state, r, &span, 1))
                return HB_NO_MEMORY;
    }
    return HB_TAKEN;
}

static int hb_take_tagged(hb_builder *b, const hs_record *r)
{
    uint32_t i;
    hs_span none = {0, 0, 0};
    if (r->trust == HS_SOUND && !r->old)
        return hb_take_entries(b, r);
    if (r->trust == HS_SOUND && r->tagged == r->length)
        return HB_TAKEN;
    for (i = 0; i < b->tagged_count; i++)
        if (hb_take(b, b->tagged[i], r->trust == HS_SOUND ? HS_OLD : HS_DAMAGED, r, &none, 0))
            return HB_NO_MEMORY;
    return HB_TAKEN;
}

static int hb_take_record(hb_builder *b, const uint8_t *data, uint32_t length, int large, int old)
{
    uint32_t i, number;
    hb_column *c;
    hs_record r;
    hs_span span = {0, 0, 0};
    int state;
    hs_open(&r, data, length, large, old);
    for (i = 0; i < b->fixed_count; i++) {
        number = b->fixed[i];
        c = &b->columns[number];
        state = hs_fixed(&r, c->id, c->offset, c->size, &span);
        if (hb_take(b, number, state, &r, &span, r.trust != HS_BAD))
            return HB_NO_MEMORY;
    }
    for (i = 0; i < b->variable_count; i++) {
        number = b->variable[i];
        state = hs_variable(&r, b->columns[number].id, &span);
        if (hb_take(b, number, state, &r, &span, r.trust < HS_BAD_VARIABLE))
            return HB_NO_MEMORY;
    }
    return b->tagged_count ? hb_take_tagged(b, &r) : HB_TAKEN;
}

static int hb_add_place(hb_builder *b, uint32_t label)
{
    hb_place place = {b->pgno, (uint16_t)b->line, (uint16_t)label};
    if (hb_reserve(&b->places, sizeof place))
        return HB_NO_MEMORY;
    memcpy(b->places.data + b->places.used, &place, sizeof place);
    b->places.used += sizeof place;
    return HB_TAKEN;
}

static int hb_take_key(hb_builder *b, const hs_page *p, const hs_node *n)
{
    uint8_t key[0x4000];
    hs_copy_key(p, n, key);
    b->bytes += n->shared + n->key_length;
    if (hb_add_data(b->keys, key, n->shared + n->key_length) ||
        hb_set_bit(&b->keys->validity, b->keys->elements++))
        return HB_NO_MEMORY;
    return hb_end_row(b->keys);
}

static int hb_is_full(const hb_builder *b)
{
    return b->rows >= b->most_rows || b->bytes >= b->most_bytes ||
           b->pending.used / sizeof(hb_pending) >= b->most_pending;
}

/* Take the nodes of a page from number *at on; *at is where it stopped because it is full. */
static int hb_take_page(hb_builder *b, const hs_page *p, uint32_t *at, int reverse)
{
    uint32_t count = p->count > p->first ? p->count - p->first : 0, i, deleted;
    hs_node node;
    for (; *at < count; ++*at) {
        if (hb_is_full(b))
            return HB_TAKEN;
        i = reverse ? count - 1 - *at : *at;
        b->line = i;
        if (hs_find_node(p, p->first + i, &node)) {
            if (hb_note(b, 0, HB_NO_ELEMENT, HB_BAD_NODE, NULL, 0))
                return HB_NO_MEMORY;
            continue;
        }
        deleted = node.flags >> 1 & 1;
        if (!(b->wanted >> deleted & 1))
            continue;
        if (hb_take_record(b, p->data + node.data, node.length, p->size > 8192,
                           !(p->flags & 0x800)) ||
            hb_add_place(b, b->label + deleted) ||
            (b->keys && hb_take_key(b, p, &node)))
            return HB_NO_MEMORY;
        b->rows++;
    }
    return HB_TAKEN;
}

static int hb_visit(hb_builder *b, uint8_t *visited, uint32_t pgno)
{
    if (hb_reserve(&b->trail, 4))
        return HB_NO_MEMORY;
    memcpy(b->trail.data + b->trail.used, &pgno, 4);
    b->trail.used += 4;
    visited[pgno >> 3] |= (uint8_t)(1u << (pgno & 7));
    b->pgno = pgno;
    return HB_TAKEN;
}

/* Follow the links between leaves inside a run of pages. *pgno and *at say where to go on.
 * visited: a bit a page, long enough for all pages of the run. again: the first page may have been
 * visited. */
static int hb_walk(hb_builder *b, const hs_run *run, uint8_t *visited, int reverse, int again,
                   uint32_t *pgno, uint32_t *at)
{
    hs_page page;
    for (;; again = 0) {
        if (!*pgno)
            return HS_END;
        if (!hs_in_run(run, *pgno))
            return HS_OUTSIDE;
        if (!again && visited[*pgno >> 3] >> (*pgno & 7) & 1)
            return HS_MET;
        if (hs_open_leaf(run, *pgno, &page))
            return HS_REFUSED;
        if (hb_visit(b, visited, *pgno) || hb_take_page(b, &page, at, reverse))
            return HB_NO_MEMORY;
        if (hb_is_full(b))
            return HS_FULL;
        *at = 0;
        *pgno = page.flags & 1 ? 0 : reverse ? page.previous : page.next;
    }
}

static hb_pending hb_get_pending(const hb_builder *b, size_t i)
{
    hb_pending note;
    memcpy(&note, b->pending.data + i * sizeof note, sizeof note);
    return note;
}

static hb_place hb_get_place(const hb_builder *b, uint32_t row)
{
    hb_place place;
    memcpy(&place, b->places.data + row * sizeof place, sizeof place);
    return place;
}

/* Forget that pages were visited after the latest visit of `pgno`. */
static void hb_go_back(hb_builder *b, uint8_t *visited, uint32_t pgno)
{
    uint32_t last;
    while (b->trail.used >= 4) {
        memcpy(&last, b->trail.data + b->trail.used - 4, 4);
        if (last == pgno)
            return;
        visited[last >> 3] &= (uint8_t)~(1u << (last & 7));
        b->trail.used -= 4;
    }
}

/* Forget row `rows`, which there is, and all after it: the walk can go on there again. */
static void hb_truncate(hb_builder *b, uint8_t *visited, uint32_t rows)
{
    uint32_t i;
    size_t kept = b->pending.used / sizeof(hb_pending);
    hb_pending note;
    for (i = 0; i < b->count; i++)
        hb_cut_rows(&b->columns[i], rows);
    if (b->keys)
        hb_cut_rows(b->keys, rows);
    for (; kept; kept--) {
        note = hb_get_pending(b, kept - 1);
        if (note.row < rows || (note.row == rows && note.code == HB_BAD_NODE))
            break;
    }
    b->pending.used = kept * sizeof(hb_pending);
    hb_go_back(b, visited, hb_get_place(b, rows).pgno);
    b->places.used = rows * sizeof(hb_place);
    b->rows = rows;
}

static void hb_restart(hb_builder *b)
{
    uint32_t i;
    for (i = 0; i < b->count; i++)
        hb_clear(&b->columns[i]);
    if (b->keys)
        hb_clear(b->keys);
    b->pending.used = b->payload.used = b->places.used = b->trail.used = 0;
    b->rows = 0;
    b->bytes = 0;
}

#endif
