/* Filling in what pages alone do not say: long values, and what others decoded. Readable reference:
 * batch_py.py. Source: format specification 7.5 (tagged columns), 8 (long values). */
#ifndef HOTSPLIT_FILL_H
#define HOTSPLIT_FILL_H

#include "batch.h"

/* The long-value id of a note, 0 where it is none. */
static uint64_t hb_lid(const hb_builder *b, const hb_pending *note)
{
    uint64_t lid = 0;
    if (note->code != HB_LONG || (note->length != 4 && note->length != 8))
        return 0;
    memcpy(&lid, b->payload.data + note->start, note->length);
    return (note->length == 8) == (lid >> 63) ? lid : 0;
}

static int hb_order_lids(const void *a, const void *b)
{
    uint64_t x = ((const hg_value *)a)->lid, y = ((const hg_value *)b)->lid;
    return x < y ? -1 : x > y;
}

/* Make `g` gather all long values that are pending. */
static int hb_gather(const hb_builder *b, hg_gather *g)
{
    size_t i, notes = b->pending.used / sizeof(hb_pending);
    uint64_t lid;
    uint32_t kept = 0;
    hb_pending note;
    g->values = calloc(notes + 1, sizeof(hg_value));
    if (!g->values)
        return HB_NO_MEMORY;
    for (i = 0; i < notes; i++) {
        note = hb_get_pending(b, i);
        lid = hb_lid(b, &note);
        if (lid)
            g->values[g->count++].lid = lid;
    }
    qsort(g->values, g->count, sizeof(hg_value), hb_order_lids);
    for (i = 0; i < g->count; i++)
        if (!kept || g->values[kept - 1].lid != g->values[i].lid)
            g->values[kept++] = g->values[i];
    g->count = kept;
    return HB_TAKEN;
}

/* Return the first row but row 0 whose long values, with those of the rows before, have more than
 * *left bytes; the number of rows if there is none, and in *left what is left then. */
static uint32_t hb_fitting(const hb_builder *b, const hg_gather *g, int64_t *left)
{
    size_t i, notes = b->pending.used / sizeof(hb_pending);
    int64_t rest = *left;
    const hg_value *value;
    hb_pending note;
    for (i = 0; i < notes; i++) {
        note = hb_get_pending(b, i);
        value = hg_find(g, hb_lid(b, &note));
        if (!value || value->state == HG_HARD)
            continue;
        rest -= value->size;
        if (note.row && rest < 0)
            return note.row;
    }
    *left = rest;
    return b->rows;
}

/* Move the ends of elements from..to-1. */
static void hb_shift_ends(hb_column *c, uint32_t from, uint32_t to, uint32_t by)
{
    uint32_t end;
    for (; from < to; from++) {
        end = hb_end(&c->ends, from + 1) + by;
        memcpy(c->ends.data + 4 * (size_t)from, &end, 4);
    }
}

/* A column in which null elements are being filled: the data behind the first of them is put
 * aside and comes back piece by piece. */
typedef struct {
    hb_column *c;
    uint8_t *aside;
    uint32_t base, from, end; /* offsets in the column's data as it was */
    uint32_t element, added;
} hb_filling;

static int hb_begin_filling(hb_filling *f, hb_column *c, uint32_t element)
{
    f->c = c;
    f->element = element;
    f->added = 0;
    f->base = f->from = hb_end(&c->ends, element);
    f->end = (uint32_t)c->data.used;
    f->aside = malloc((size_t)(f->end - f->base) + 1);
    if (!f->aside)
        return HB_NO_MEMORY;
    if (f->end > f->base)
        memcpy(f->aside, c->data.data + f->base, f->end - f->base);
    c->data.used = f->base;
    return HB_TAKEN;
}

/* Bring back what is in front of an element, which ends at `to`. */
static int hb_move(hb_filling *f, uint32_t element, uint32_t to)
{
    hb_buffer *data = &f->c->data;
    if (hb_reserve(data, to - f->from))
        return HB_NO_MEMORY;
    if (to > f->from)
        memcpy(data->data + data->used, f->aside + (f->from - f->base), to - f->from);
    data->used += to - f->from;
    f->from = to;
    hb_shift_ends(f->c, f->element, element, f->added);
    f->element = element;
    return HB_TAKEN;
}

/* The `size` bytes behind the data are the value of `element`. */
static int hb_accept(hb_filling *f, uint32_t element, uint32_t size)
{
    f->c->data.used += size;
    f->added += size;
    hb_shift_ends(f->c, element, element + 1, f->added);
    f->element = element + 1;
    return hb_set_bit(&f->c->validity, element);
}

static int hb_end_filling(hb_filling *f)
{
    int status = hb_move(f, f->c->elements, f->end);
    free(f->aside);
    return status;
}

/* Put a value in its final form behind the data; its size, -1 if it is no text. */
static int64_t hb_convert(const hb_column *c, const uint8_t *p, uint32_t n)
{
    uint8_t *to = c->data.data + c->data.used;
    switch (c->kind) {
    case HB_ANSI:
        return hb_from_ansi(p, n, to);
    case HB_UTF16:
        return hb_from_utf16(p, n, to);
    case HB_BINARY:
        if (n)
            memcpy(to, p, n);
        return n;
    default:
        return -1;
    }
}

static int hb_fill_note(hb_builder *b, hb_filling *f, const hg_gather *g, uint32_t number)
{
    hb_pending note = hb_get_pending(b, number);
    const hg_value *value = hg_find(g, hb_lid(b, &note));
    int64_t size;
    if (!value || value->state != HG_FOUND)
        return HB_TAKEN;
    if (hb_move(f, note.element, hb_end(&f->c->ends, note.element + 1)) ||
        hb_reserve(&f->c->data, 3 * (size_t)value->size + 8))
        return HB_NO_MEMORY;
    size = hb_convert(f->c, g->arena + value->start, value->size);
    if (size < 0)
        return HB_TAKEN;
    note.code = 0;
    memcpy(b->pending.data + number * sizeof note, &note, sizeof note);
    return hb_accept(f, note.element, (uint32_t)size);
}

/* Fill what was found of one column, whose notes are numbers[0..count-1]; mark them as done. */
static int hb_fill_long(hb_builder *b, hb_column *c, const hg_gather *g, const uint32_t *numbers,
                        uint32_t count)
{
    hb_filling f;
    uint32_t i;
    int status = HB_TAKEN;
    for (i = 0; i < count && hb_get_pending(b, numbers[i]).element == HB_NO_ELEMENT; i++)
        ;
    if (i == count)
        return HB_TAKEN;
    if (hb_begin_filling(&f, c, hb_get_pending(b, numbers[i]).element))
        return HB_NO_MEMORY;
    for (; i < count && !status; i++)
        status = hb_fill_note(b, &f, g, numbers[i]);
    return hb_end_filling(&f) ? HB_NO_MEMORY : status;
}

/* Forget the notes that are done. */
static void hb_drop_done(hb_builder *b)
{
    size_t i, kept = 0, notes = b->pending.used / sizeof(hb_pending);
    hb_pending note;
    for (i = 0; i < notes; i++) {
        note = hb_get_pending(b, i);
        if (note.code)
            memcpy(b->pending.data + kept++ * sizeof note, &note, sizeof note);
    }
    b->pending.used = kept * sizeof note;
}

/* Fill all elements whose long values were found, column by column. */
static int hb_take_gathered(hb_builder *b, const hg_gather *g)
{
    uint32_t i, notes = (uint32_t)(b->pending.used / sizeof(hb_pending)), at, total = 0;
    uint32_t *starts = calloc((size_t)b->count + 2 + notes, sizeof(uint32_t)), *sorted;
    int status = HB_TAKEN;
    hb_pending note;
    if (!starts)
        return HB_NO_MEMORY;
    sorted = starts + b->count + 2;
    for (i = 0; i < notes; i++)
        starts[hb_get_pending(b, i).column + 2]++;
    for (i = 2; i < b->count + 2; i++)
        total = starts[i] += total;
    for (i = 0; i < notes; i++) {
        note = hb_get_pending(b, i);
        at = starts[note.column + 1]++;
        sorted[at] = i;
    }
    for (i = 0; i < b->count && !status; i++)
        if (starts[i + 1] > starts[i] && hb_has_ends(&b->columns[i]))
            status = hb_fill_long(b, &b->columns[i], g, sorted + starts[i],
                                  starts[i + 1] - starts[i]);
    free(starts);
    hb_drop_done(b);
    return status;
}

enum { HB_STAYS_NULL = 0xFFFFFFFFu };

static int hb_fill_fixed(hb_column *c, const uint32_t *numbers, const uint32_t *lengths,
                         size_t count, const uint8_t *filling)
{
    size_t i, at;
    for (i = 0; i < count; i++) {
        if (lengths[i] == HB_STAYS_NULL)
            continue;
        at = numbers[i];
        if (c->kind == HB_BIT)
            c->data.data[at / 8] |= (uint8_t)((filling[0] != 0) << at % 8);
        else
            memcpy(c->data.data + at * c->size, filling, c->size);
        filling += lengths[i];
        if (hb_set_bit(&c->validity, at))
            return HB_NO_MEMORY;
    }
    return HB_TAKEN;
}

/* Fill elements of a column, whose numbers ascend. `filling` has their data in final form one
 * behind the other; a length of HB_STAYS_NULL has none. Values of fixed size have that length. */
static int hb_fill(hb_column *c, const uint32_t *numbers, const uint32_t *lengths, size_t count,
                   const uint8_t *filling)
{
    hb_filling f;
    size_t i;
    int status = HB_TAKEN;
    if (!hb_has_ends(c))
        return hb_fill_fixed(c, numbers, lengths, count, filling);
    if (!count)
        return HB_TAKEN;
    if (hb_begin_filling(&f, c, numbers[0]))
        return HB_NO_MEMORY;
    for (i = 0; i < count && !status; i++) {
        if (lengths[i] == HB_STAYS_NULL)
            continue;
        if (hb_move(&f, numbers[i], hb_end(&c->ends, numbers[i] + 1)) ||
            hb_reserve(&c->data, (size_t)lengths[i] + 1)) {
            status = HB_NO_MEMORY;
            break;
        }
        memcpy(c->data.data + c->data.used, filling, lengths[i]);
        filling += lengths[i];
        status = hb_accept(&f, numbers[i], lengths[i]);
    }
    return hb_end_filling(&f) ? HB_NO_MEMORY : status;
}

#endif
