/* Values of one column in the layout of Arrow: validity bits, ends, data. Readable reference:
 * batch_py.py. Source: Apache Arrow columnar format 1.4 (layout of arrays); format specification
 * 7.2 (types). */
#ifndef HOTSPLIT_COLUMNS_H
#define HOTSPLIT_COLUMNS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How stored bytes become data. */
enum { HB_RAW, HB_BIT, HB_NUMBER, HB_ANSI, HB_UTF16, HB_BINARY, HB_GUID };
/* What came of a value. */
enum { HB_TAKEN = 0, HB_NO_TEXT = 1, HB_NO_MEMORY = -1 };

/* Bytes beyond `used` are zero where values have a fixed size. */
typedef struct {
    uint8_t *data;
    size_t used, room;
} hb_buffer;

typedef struct {
    uint32_t id, offset, size; /* size: bytes of each value, 0 where they differ */
    int kind, derived, listed;
    const uint8_t *fallback;   /* what stands where a record has no value, or NULL for null */
    uint32_t fallback_size;
    uint32_t twin;             /* 1 + number of another column of the same id, 0 without one */
    uint32_t rows, elements;   /* the same unless several values a row are possible */
    hb_buffer validity, ends, data; /* of elements */
    hb_buffer row_validity, row_ends; /* while rows are no lists: validity of those that wait */
} hb_column;

static int hb_has_ends(const hb_column *c)
{
    return c->kind != HB_BIT && c->kind != HB_NUMBER && c->kind != HB_GUID;
}

/* Make room for `more` bytes. */
static int hb_reserve(hb_buffer *b, size_t more)
{
    size_t need = b->used + more, room;
    uint8_t *data;
    if (need <= b->room)
        return HB_TAKEN;
    room = need + need / 2 + 64;
    data = realloc(b->data, room);
    if (!data)
        return HB_NO_MEMORY;
    memset(data + b->room, 0, room - b->room);
    b->data = data;
    b->room = room;
    return HB_TAKEN;
}

/* Forget all from byte `used` on. */
static void hb_cut(hb_buffer *b, size_t used)
{
    if (used < b->used) {
        memset(b->data + used, 0, b->used - used);
        b->used = used;
    }
}

static int hb_reserve_bits(hb_buffer *b, size_t bits)
{
    size_t bytes = (bits + 7) / 8;
    if (bytes > b->used) {
        if (hb_reserve(b, bytes - b->used))
            return HB_NO_MEMORY;
        b->used = bytes;
    }
    return HB_TAKEN;
}

static void hb_cut_bits(hb_buffer *b, size_t bits)
{
    hb_cut(b, (bits + 7) / 8);
    if (bits % 8 && b->used == (bits + 7) / 8)
        b->data[b->used - 1] &= (uint8_t)((1u << bits % 8) - 1);
}

static int hb_set_bit(hb_buffer *b, size_t bit)
{
    if (hb_reserve_bits(b, bit + 1))
        return HB_NO_MEMORY;
    b->data[bit / 8] |= (uint8_t)(1u << bit % 8);
    return HB_TAKEN;
}

static int hb_add_end(hb_buffer *b, size_t end)
{
    uint32_t value = (uint32_t)end;
    if (hb_reserve(b, 4))
        return HB_NO_MEMORY;
    memcpy(b->data + b->used, &value, 4);
    b->used += 4;
    return HB_TAKEN;
}

static uint32_t hb_end(const hb_buffer *ends, uint32_t i)
{
    uint32_t value = 0;
    if (i)
        memcpy(&value, ends->data + 4 * (size_t)(i - 1), 4);
    return value;
}

/* Add elements that are null. */
static int hb_add_nulls(hb_column *c, uint32_t count)
{
    uint32_t i;
    c->elements += count;
    if (c->kind == HB_BIT)
        return hb_reserve_bits(&c->data, c->elements);
    if (!hb_has_ends(c)) {
        if (hb_reserve(&c->data, (size_t)count * c->size))
            return HB_NO_MEMORY;
        c->data.used += (size_t)count * c->size;
        return HB_TAKEN;
    }
    for (i = 0; i < count; i++)
        if (hb_add_end(&c->ends, c->data.used))
            return HB_NO_MEMORY;
    return HB_TAKEN;
}

static int hb_put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* Windows code page 1252; the five bytes that it leaves undefined are control characters. */
static const uint16_t hb_1252[32] = {
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};

/* Both return the number of bytes written, at most 3 a character, or -1 where there is no text. */
static int64_t hb_from_ansi(const uint8_t *p, uint32_t n, uint8_t *to)
{
    uint8_t *start = to;
    uint32_t i = 0;
    uint64_t eight;
    for (; i + 8 <= n; i += 8) {
        memcpy(&eight, p + i, 8);
        if (eight & 0x8080808080808080u)
            break;
        memcpy(to, &eight, 8);
        to += 8;
    }
    for (; i < n; i++)
        to += hb_put_utf8(to, p[i] >= 0x80 && p[i] < 0xA0 ? hb_1252[p[i] - 0x80] : p[i]);
    return to - start;
}

static int64_t hb_from_utf16(const uint8_t *p, uint32_t n, uint8_t *to)
{
    uint8_t *start = to;
    uint32_t i = 0, unit, low;
    uint64_t four;
    if (n % 2)
        return -1;
    while (i < n) {
        for (; i + 8 <= n; i += 8) {
            memcpy(&four, p + i, 8);
            if (four & 0xFF80FF80FF80FF80u)
                break;
            to[0] = p[i];
            to[1] = p[i + 2];
            to[2] = p[i + 4];
            to[3] = p[i + 6];
            to += 4;
        }
        if (i == n)
            break;
        unit = p[i] | (uint32_t)p[i + 1] << 8;
        i += 2;
        if (unit >= 0xDC00 && unit < 0xE000)
            return -1;
        if (unit >= 0xD800 && unit < 0xDC00) {
            if (i == n)
                return -1;
            low = p[i] | (uint32_t)p[i + 1] << 8;
            if (low < 0xDC00 || low >= 0xE000)
                return -1;
            i += 2;
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
        to += hb_put_utf8(to, unit);
    }
    return to - start;
}

/* A stored GUID has its first three parts little-endian. */
static void hb_put_guid(uint8_t *to, const uint8_t *p)
{
    static const uint8_t order[8] = {3, 2, 1, 0, 5, 4, 7, 6};
    int i;
    for (i = 0; i < 8; i++)
        to[i] = p[order[i]];
    memcpy(to + 8, p + 8, 8);
}

/* Add the data of an element, already in its final form, without the validity bit. */
static int hb_add_data(hb_column *c, const uint8_t *p, uint32_t n)
{
    if (c->kind == HB_BIT) {
        if (hb_reserve_bits(&c->data, c->elements + 1))
            return HB_NO_MEMORY;
        if (p[0])
            c->data.data[c->elements / 8] |= (uint8_t)(1u << c->elements % 8);
        return HB_TAKEN;
    }
    if (hb_reserve(&c->data, n))
        return HB_NO_MEMORY;
    if (n)
        memcpy(c->data.data + c->data.used, p, n);
    c->data.used += n;
    return hb_has_ends(c) ? hb_add_end(&c->ends, c->data.used) : HB_TAKEN;
}

/* Add text; HB_NO_TEXT and no change where the bytes are none. */
static int hb_add_text(hb_column *c, const uint8_t *p, uint32_t n)
{
    int64_t size;
    uint8_t *to;
    if (hb_reserve(&c->data, 3 * (size_t)n + 8))
        return HB_NO_MEMORY;
    to = c->data.data + c->data.used;
    size = c->kind == HB_ANSI ? hb_from_ansi(p, n, to) : hb_from_utf16(p, n, to);
    if (size < 0)
        return HB_NO_TEXT;
    c->data.used += (size_t)size;
    return hb_add_end(&c->ends, c->data.used);
}

/* Add an element from its stored bytes; of fixed-size types all n bytes are there. */
static int hb_add_value(hb_column *c, const uint8_t *p, uint32_t n)
{
    uint8_t guid[16];
    int status;
    switch (c->kind) {
    case HB_RAW:
        return HB_NO_TEXT;
    case HB_ANSI:
    case HB_UTF16:
        status = hb_add_text(c, p, n);
        break;
    case HB_GUID:
        hb_put_guid(guid, p);
        status = hb_add_data(c, guid, 16);
        break;
    default:
        status = hb_add_data(c, p, n);
    }
    if (status)
        return status;
    return hb_set_bit(&c->validity, c->elements++);
}

/* Let each row hold a list from now on. */
static int hb_make_lists(hb_column *c)
{
    uint32_t i;
    if (c->listed)
        return HB_TAKEN;
    c->listed = 1;
    if (hb_reserve_bits(&c->row_validity, 8 * c->validity.used))
        return HB_NO_MEMORY;
    for (i = 0; i < c->validity.used; i++)
        c->row_validity.data[i] |= c->validity.data[i];
    for (i = 1; i <= c->rows; i++)
        if (hb_add_end(&c->row_ends, i))
            return HB_NO_MEMORY;
    return HB_TAKEN;
}

/* Finish a row that has elements. */
static int hb_end_row(hb_column *c)
{
    uint32_t row = c->rows++;
    if (!c->listed)
        return HB_TAKEN;
    if (hb_set_bit(&c->row_validity, row))
        return HB_NO_MEMORY;
    return hb_add_end(&c->row_ends, c->elements);
}

static int hb_add_null_rows(hb_column *c, uint32_t count)
{
    c->rows += count;
    if (!c->listed)
        return hb_add_nulls(c, count);
    while (count--)
        if (hb_add_end(&c->row_ends, c->elements))
            return HB_NO_MEMORY;
    return HB_TAKEN;
}

/* Fill up to `row` with what stands for a missing value. */
static int hb_pad(hb_column *c, uint32_t row)
{
    if (c->rows >= row)
        return HB_TAKEN;
    if (!c->fallback)
        return hb_add_null_rows(c, row - c->rows);
    while (c->rows < row)
        if (hb_add_data(c, c->fallback, c->fallback_size) ||
            hb_set_bit(&c->validity, c->elements++) || hb_end_row(c))
            return HB_NO_MEMORY;
    return HB_TAKEN;
}

/* Forget row `rows` and all after it. */
static void hb_cut_rows(hb_column *c, uint32_t rows)
{
    if (c->rows <= rows)
        return;
    c->elements = c->listed ? hb_end(&c->row_ends, rows) : rows;
    c->rows = rows;
    if (c->listed)
        hb_cut(&c->row_ends, 4 * (size_t)rows);
    hb_cut_bits(&c->row_validity, rows);
    hb_cut_bits(&c->validity, c->elements);
    if (c->kind == HB_BIT)
        hb_cut_bits(&c->data, c->elements);
    else if (!hb_has_ends(c))
        hb_cut(&c->data, (size_t)c->elements * c->size);
    else {
        hb_cut(&c->data, hb_end(&c->ends, c->elements));
        hb_cut(&c->ends, 4 * (size_t)c->elements);
    }
}

/* Make validity as long as there are elements and rows. */
static int hb_complete(hb_column *c)
{
    if (hb_reserve_bits(&c->validity, c->elements))
        return HB_NO_MEMORY;
    return c->listed ? hb_reserve_bits(&c->row_validity, c->rows) : HB_TAKEN;
}

/* Forget everything but the memory. */
static void hb_clear(hb_column *c)
{
    hb_cut(&c->validity, 0);
    hb_cut(&c->ends, 0);
    hb_cut(&c->data, 0);
    hb_cut(&c->row_validity, 0);
    hb_cut(&c->row_ends, 0);
    c->rows = c->elements = 0;
}

static void hb_free(hb_column *c)
{
    free(c->validity.data);
    free(c->ends.data);
    free(c->data.data);
    free(c->row_validity.data);
    free(c->row_ends.data);
}

#endif
