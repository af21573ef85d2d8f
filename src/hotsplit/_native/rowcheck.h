/* Checking the records of a table. Readable reference: rowcheck_py.py.
 * Source: format specification 7.1, 7.3, 7.5 to 7.7 (records), 9 (compression), 13.1 R and L. */
#ifndef HOTSPLIT_ROWCHECK_H
#define HOTSPLIT_ROWCHECK_H

#include "compress.h"
#include "indexkey.h"

typedef void (*hs_report)(void *to, int code, hs_place place, uint64_t a, uint64_t b);

/* What is wrong with a record. */
enum {
    HS_C_RECORD_SIZE = 100, HS_C_FIXED_LAST, HS_C_FIXED_END, HS_C_FIXED_SIZE, HS_C_VAR_LAST,
    HS_C_VAR_ORDER, HS_C_VAR_NULL, HS_C_TAG_ARRAY, HS_C_TAG_ID, HS_C_TAG_NULL, HS_C_TAG_HEADER,
    HS_C_TAG_TWO, HS_C_TAG_MULTI, HS_C_TAG_LONG, HS_C_TAG_LID, HS_C_TAG_SIZE, HS_C_TAG_UNKNOWN,
    HS_C_TAG_KIND, HS_C_NOT_NULL, HS_C_KEY, HS_C_COMPRESSED, HS_C_BITMAP, HS_C_AUTOINCREMENT,
    HS_C_NO_LONG_VALUES
};

/* What the catalog says of a tagged column. The low bits are the size of a fixed-size type. */
enum { HS_T_SIZE = 31, HS_T_EXISTS = 32, HS_T_LONG = 64, HS_T_NOT_NULL = 128, HS_T_DELETED = 256 };
/* The header byte of a tagged value. */
enum { HS_H_LONG = 1, HS_H_COMPRESSED = 2, HS_H_SEPARATED = 4, HS_H_SEVERAL = 8, HS_H_TWO = 16,
       HS_H_ENCRYPTED = 64, HS_H_UNDEFINED = 128 };

#define HS_EXPANDED_MOST 65536u

typedef struct {
    int large;
    uint32_t most;               /* bytes of the largest record */
    uint32_t fixed_last, var_last;
    uint32_t fixed_end[128];     /* end of the fixed columns up to an id, 0 where it is not known */
    uint8_t fixed_not_null[16], var_not_null[16]; /* a bit an id */
    const uint16_t *tagged[2];   /* of the table, of its template; by id - 256 */
    uint32_t tagged_count[2];
    uint32_t increment_at, increment_size;        /* autoincrement column, size 0: none */
    uint32_t increment_id;
    uint64_t increment_most;
    hs_index *primary;           /* NULL: the key is not checked */
    hs_index *indexes;
    uint32_t index_count;
    hs_ledger *references;       /* NULL: the table has no long-value tree */
    hs_ledger *copy;             /* NULL: the records are not compared with a copy */
    int copy_side;
    uint8_t *expanded;           /* HS_EXPANDED_MOST bytes */
    hs_source source;
    hs_report report;
    void *to;
    hs_place place;
    uint64_t a, b;               /* of the finding */
} hs_rows;

typedef void (*hs_wanted)(void *to, const uint8_t *lid, uint32_t length);

/* Tell which separated values the keys of a record are made of. */
static void hs_row_wants(const hs_rows *r, const hs_record *rec, hs_wanted tell, void *to)
{
    uint32_t i, k, number, length;
    const uint8_t *data;
    int how;
    for (i = 0; i < r->index_count; i++) {
        const hs_index *x = &r->indexes[i];
        for (k = 0; x->ledger && k < x->count; k++) {
            const hs_segment *s = &x->segments[k];
            if (s->id < 256 || (x->compare != HS_BY_KEY && (k || !x->tuple_most)))
                continue;
            for (number = 1; hs_stored(rec, s, number, &data, &length, &how) == HS_VALUE; number++) {
                if (how & 4)
                    tell(to, data, length);
                if (!s->multi)
                    break;
            }
        }
    }
}

static int hs_wrong(hs_rows *r, int code, uint64_t a, uint64_t b)
{
    r->a = a;
    r->b = b;
    return code;
}

static void hs_row_report(hs_rows *r, int code, uint64_t a, uint64_t b)
{
    r->report(r->to, code, r->place, a, b);
}

static int hs_bit(const uint8_t *bits, uint32_t n)
{
    return bits[n >> 3] >> (n & 7) & 1;
}

static int hs_check_fixed(hs_rows *r, const hs_record *rec)
{
    uint32_t last = rec->fixed_last, i, unused;
    const uint8_t *nulls = rec->data + rec->bitmap;
    if (rec->trust == HS_BAD)
        return hs_wrong(r, HS_C_FIXED_SIZE, last, rec->fixed_end);
    if (last > r->fixed_last)
        return hs_wrong(r, HS_C_FIXED_LAST, last, r->fixed_last);
    if (r->fixed_end[last] && rec->bitmap != r->fixed_end[last])
        return hs_wrong(r, HS_C_FIXED_END, rec->bitmap, r->fixed_end[last]);
    for (i = 0; i < last; i += 8) {
        uint32_t here = nulls[i / 8], must = r->fixed_not_null[i / 8];
        if (last - i < 8)
            must &= (1u << (last - i)) - 1;
        if (here & must)
            hs_row_report(r, HS_C_NOT_NULL, i + 1 + (uint32_t)__builtin_ctz(here & must), 0);
    }
    unused = last & 7 ? 0xFFu << (last & 7) & 0xFFu : 0;
    if (unused && (nulls[last / 8] & unused) != unused)
        hs_row_report(r, HS_C_BITMAP, nulls[last / 8], 0);
    return 0;
}

static int hs_check_variable(hs_rows *r, const hs_record *rec)
{
    uint32_t i, word, end, before = 0;
    if (rec->trust >= HS_BAD_VARIABLE)
        return hs_wrong(r, HS_C_VAR_ORDER, rec->data[1], 0);
    for (i = 0; i < rec->var_count; i++, before = end) {
        word = hs_u16(rec->data + rec->fixed_end + 2 * i);
        end = word & 0x7FFF;
        if (end < before)
            return hs_wrong(r, HS_C_VAR_ORDER, 128 + i, end);
        if (word & 0x8000 && end != before)
            return hs_wrong(r, HS_C_VAR_NULL, 128 + i, end - before);
        if (word & 0x8000 && hs_bit(r->var_not_null, i))
            hs_row_report(r, HS_C_NOT_NULL, 128 + i, 0);
    }
    if (127 + rec->var_count > r->var_last)
        return hs_wrong(r, HS_C_VAR_LAST, 127 + rec->var_count, r->var_last);
    return 0;
}

/* Decompress for the sake of the check; 0 if it works. */
static int hs_try_expand(hs_rows *r, const uint8_t *data, uint32_t length, uint32_t most,
                         uint32_t *size)
{
    const uint8_t *out;
    uint32_t scheme = length ? data[0] >> 3 : 0, bits;
    if (length && scheme <= 2 && scheme) {
        bits = length >= 2 ? (length - 2) * 8 + (data[0] & 7) + 1 : 0;
        *size = bits / 7 * scheme;
        return *size > most;
    }
    if (length >= 3 && scheme == 3) {
        *size = hs_u16(data + 1);
        if (*size > most)
            return 1;
        return length - 3 != *size && xpress_decode_c(data + 3, length - 3, r->expanded, *size);
    }
    if (length >= 15 && scheme == 6) { /* XPRESS10: only its stated size can be judged */
        *size = hs_u16(data + 1);
        return *size > most;
    }
    return r->source.fetch(r->source.to, 0, data, length, most, &out, size);
}

static int hs_check_lid(hs_rows *r, uint32_t id, const uint8_t *data, uint32_t length)
{
    uint64_t lid = 0, hash;
    hs_ledger *l = r->references;
    if (length != 4 && length != 8)
        return hs_wrong(r, HS_C_TAG_LID, id, length);
    memcpy(&lid, data, length);
    if (!lid || (length == 8) != (lid >> 63))
        return hs_wrong(r, HS_C_TAG_LID, id, lid);
    if (!l)
        return hs_wrong(r, HS_C_NO_LONG_VALUES, id, lid);
    hash = hs_hash_number(lid);
    if (!l->watched)
        hs_enter(l, HS_ROWS, hash, 1);
    else if (hs_is_watched(l, hash))
        l->found(l->to, HS_ROWS, (const uint8_t *)&lid, 8, data, 0, 1, r->place);
    return 0;
}

/* One value of a tagged column. `how`: HS_H_SEPARATED, HS_H_COMPRESSED or 0. */
static int hs_check_instance(hs_rows *r, uint32_t id, uint32_t info, int is_long, int how,
                             const uint8_t *data, uint32_t length)
{
    uint32_t size;
    if (how == HS_H_SEPARATED)
        return is_long ? hs_check_lid(r, id, data, length) : hs_wrong(r, HS_C_TAG_LONG, id, 0);
    if (!is_long && length > 255)
        return hs_wrong(r, HS_C_TAG_SIZE, id, length);
    if (how == HS_H_COMPRESSED && hs_try_expand(r, data, length, 0x7FFF, &size))
        hs_row_report(r, HS_C_COMPRESSED, id, 0);
    if (!how && info & HS_T_SIZE && length && length != (info & HS_T_SIZE))
        return hs_wrong(r, HS_C_TAG_SIZE, id, length);
    return 0;
}

static int hs_check_two(hs_rows *r, uint32_t id, uint32_t info, uint32_t header,
                        const uint8_t *data, uint32_t length)
{
    int wrong;
    if (!(header & HS_H_SEVERAL) || header & (HS_H_LONG | HS_H_SEPARATED))
        return hs_wrong(r, HS_C_TAG_HEADER, id, header);
    if (!length || length > 1 + 510 || data[0] > length - 1)
        return hs_wrong(r, HS_C_TAG_TWO, id, length);
    wrong = hs_check_instance(r, id, info, 0, 0, data + 1, data[0]);
    if (wrong)
        return wrong;
    return hs_check_instance(r, id, info, 0, 0, data + 1 + data[0], length - 1 - data[0]);
}

static int hs_check_several(hs_rows *r, uint32_t id, uint32_t info, uint32_t header,
                            const uint8_t *data, uint32_t length)
{
    uint32_t first = length >= 4 ? hs_u16(data) & 0x7FFF : 0, number, size;
    const uint8_t *value;
    int how, wrong;
    if (first < 4 || first > length || first % 2)
        return hs_wrong(r, HS_C_TAG_MULTI, id, first);
    for (number = 1; number <= first / 2; number++) {
        if (hs_instance(data, length, header & ~(uint32_t)HS_H_ENCRYPTED, number, &value, &size,
                        &how) != HS_VALUE)
            return hs_wrong(r, HS_C_TAG_MULTI, id, number);
        if (how == HS_H_COMPRESSED && header & HS_H_ENCRYPTED)
            continue;
        wrong = hs_check_instance(r, id, info, header & HS_H_LONG, how, value, size);
        if (wrong)
            return wrong;
    }
    return 0;
}

/* The value of one entry, header byte taken off. */
static int hs_check_value(hs_rows *r, uint32_t id, uint32_t info, uint32_t header,
                          const uint8_t *data, uint32_t length)
{
    int how = (int)(header & (HS_H_SEPARATED | HS_H_COMPRESSED));
    if (header & HS_H_UNDEFINED ||
        (!r->large && !(header & (HS_H_LONG | HS_H_SEVERAL))))
        return hs_wrong(r, HS_C_TAG_HEADER, id, header);
    if (info && !(info & HS_T_LONG) != !(header & HS_H_LONG))
        hs_row_report(r, HS_C_TAG_KIND, id, header);
    if (header & HS_H_TWO)
        return hs_check_two(r, id, info, header, data, length);
    if (header & HS_H_SEVERAL)
        return header & HS_H_SEPARATED ? hs_wrong(r, HS_C_TAG_HEADER, id, header)
                                       : hs_check_several(r, id, info, header, data, length);
    if (how & HS_H_SEPARATED)
        how = HS_H_SEPARATED;
    else if (header & HS_H_ENCRYPTED)
        return 0;
    return hs_check_instance(r, id, info, header & HS_H_LONG, how, data, length);
}

static int hs_check_entry(hs_rows *r, const hs_record *rec, uint32_t entry)
{
    const uint8_t *at = rec->data + rec->tagged + 4 * entry;
    uint32_t id = hs_u16(at), word = hs_u16(at + 2), derived = word >> 15, info = 0;
    hs_span span;
    int state = hs_tag_value(rec, entry, &span);
    if (id < 256 || id > 0xFEE0)
        return hs_wrong(r, HS_C_TAG_ID, id, 0);
    if (id - 256 < r->tagged_count[derived])
        info = r->tagged[derived][id - 256];
    if (info & HS_T_DELETED) {
        info = 0; /* what is left of it may be of any kind */
    } else if (!(info & HS_T_EXISTS)) {
        info = 0;
        if (id - 256 >= r->tagged_count[derived])
            return hs_wrong(r, HS_C_TAG_ID, id, 0);
        hs_row_report(r, HS_C_TAG_UNKNOWN, id, 0);
    }
    if (state == HS_DAMAGED)
        return hs_wrong(r, HS_C_TAG_HEADER, id, 0);
    if (state == HS_NULL) {
        if (span.length || (!r->large && word & 0x4000))
            return hs_wrong(r, HS_C_TAG_NULL, id, span.length);
        if (info & HS_T_NOT_NULL)
            hs_row_report(r, HS_C_NOT_NULL, id, 0);
        return 0;
    }
    if (r->large || word & 0x4000)
        return hs_check_value(r, id, info, span.header, rec->data + span.start, span.length);
    if (info & HS_T_LONG)
        hs_row_report(r, HS_C_TAG_KIND, id, 0);
    return hs_check_instance(r, id, info, 0, 0, rec->data + span.start, span.length);
}

static int hs_check_old_tagged(hs_rows *r, const hs_record *rec)
{
    uint32_t at = 0, size = rec->length - rec->tagged, id, word, length;
    const uint8_t *p;
    int wrong;
    for (; at < size; at += 4 + length) {
        p = rec->data + rec->tagged + at;
        length = size - at >= 4 ? hs_u16(p + 2) & 0x0FFF : size;
        if (4 + length > size - at)
            return hs_wrong(r, HS_C_TAG_ARRAY, at, 0);
        id = hs_u16(p);
        word = hs_u16(p + 2);
        if (id < 256 || id > 0xFEE0)
            return hs_wrong(r, HS_C_TAG_ID, id, 0);
        if (!(word & 0x8000) || word & 0x4000)
            continue;
        wrong = !length ? hs_wrong(r, HS_C_TAG_HEADER, id, 0)
                        : p[4] & 1 ? hs_check_lid(r, id, p + 5, length - 1) : 0;
        if (wrong)
            return wrong;
    }
    return 0;
}

static int hs_check_tagged(hs_rows *r, const hs_record *rec)
{
    uint32_t entry;
    int wrong;
    if (rec->trust != HS_SOUND)
        return hs_wrong(r, HS_C_TAG_ARRAY, 0, 0);
    if (rec->old)
        return hs_check_old_tagged(r, rec);
    for (entry = 0; entry < rec->tag_count; entry++) {
        wrong = hs_check_entry(r, rec, entry);
        if (wrong)
            return wrong;
    }
    return 0;
}

static void hs_check_increment(hs_rows *r, const hs_record *rec)
{
    uint64_t value = 0;
    hs_span span;
    if (!r->increment_size ||
        hs_fixed(rec, r->increment_id, r->increment_at, r->increment_size, &span) != HS_VALUE)
        return;
    memcpy(&value, rec->data + span.start, r->increment_size);
    if (value > r->increment_most)
        hs_row_report(r, HS_C_AUTOINCREMENT, value, r->increment_most);
}

/* Returns 0, or what is wrong with the frame of the record, with r->a and r->b set. */
static int hs_check_record(hs_rows *r, const hs_record *rec)
{
    int wrong;
    if (rec->length < 4 || rec->length > r->most)
        return hs_wrong(r, HS_C_RECORD_SIZE, rec->length, r->most);
    wrong = hs_check_fixed(r, rec);
    if (!wrong)
        wrong = hs_check_variable(r, rec);
    if (!wrong)
        wrong = hs_check_tagged(r, rec);
    if (!wrong)
        hs_check_increment(r, rec);
    return wrong;
}

static void hs_check_key(hs_rows *r, const uint8_t *key, uint32_t length)
{
    uint8_t made[HS_KEY_MOST];
    uint32_t numbers[HS_SEGMENTS], made_length = 0, rolled, i;
    int outcome;
    for (i = 0; i < HS_SEGMENTS; i++)
        numbers[i] = 1;
    outcome = hs_make_key(r->primary, &r->source, numbers, 0, made, &made_length, &rolled);
    if (outcome != HS_UNKNOWN && (made_length != length || memcmp(made, key, length)))
        hs_row_report(r, HS_C_KEY, made_length, length);
}

/* Make the entries of a record. */
static void hs_enter_entries(hs_rows *r, const hs_record *rec, const hs_bookmark *bookmark)
{
    uint32_t i;
    r->source.record = rec;
    r->source.asked = NULL;
    for (i = 0; i < r->index_count; i++)
        if (r->indexes[i].ledger)
            hs_row_entries(&r->indexes[i], &r->source, bookmark);
    r->source.record = NULL;
}

/* The same of a record that is not checked. */
static void hs_row_enter(hs_rows *r, const uint8_t *key, uint32_t key_length, const uint8_t *data,
                         uint32_t length, int old)
{
    hs_record rec;
    hs_bookmark bookmark;
    hs_open(&rec, data, length, r->large, old);
    bookmark.data = key;
    bookmark.length = key_length;
    bookmark.place.pgno = 0;
    bookmark.place.node = 0;
    hs_enter_entries(r, &rec, &bookmark);
}

/* Check one live record; 0 if it is sound enough to have told its entries and references. */
static int hs_check_row(hs_rows *r, const uint8_t *key, uint32_t key_length, const uint8_t *data,
                        uint32_t length, int old, hs_place place)
{
    hs_record rec;
    hs_bookmark bookmark;
    int wrong;
    r->place = place;
    hs_open(&rec, data, length, r->large, old);
    if (r->copy && !r->copy->watched)
        hs_enter(r->copy, r->copy_side, hs_hash(hs_hash(0, key, key_length), data, length), 1);
    wrong = hs_check_record(r, &rec);
    if (wrong) {
        hs_row_report(r, wrong, r->a, r->b);
        return -1;
    }
    r->source.record = &rec;
    r->source.asked = NULL;
    if (r->primary)
        hs_check_key(r, key, key_length);
    bookmark.data = key;
    bookmark.length = key_length;
    bookmark.place = place;
    hs_enter_entries(r, &rec, &bookmark);
    return 0;
}

#endif
