/* Values of a record and the index keys that they make. Readable reference: indexkey_py.py.
 * Source: format specification 7.5 (instances), 10.1 to 10.5 (keys and entries). */
#ifndef HOTSPLIT_INDEXKEY_H
#define HOTSPLIT_INDEXKEY_H

#include <stdlib.h>
#include "fingerprint.h"
#include "keysegment.h"
#include "page.h"
#include "record.h"
#include "sortkey.h"

#define HS_KEY_MOST 2000u
#define HS_SEGMENTS 16u
#define HS_OLD_KEY_MOST 255u  /* of keys of this size no more than that is read of a value */
#define HS_READ_MOST 65536u   /* bytes of a text that a key is made of */

enum { HS_ALL_NULLS = 2, HS_FIRST_NULL = 4, HS_SOME_NULLS = 8, HS_NO_NULLS = 0x10, HS_MULTI = 0x80,
       HS_NULLS_HIGH = 0x800, HS_CROSS = 0x2000, HS_NESTED = 0x8000 };
/* How entries are compared: whole, by bookmark, or only whether a bookmark occurs. */
enum { HS_BY_KEY, HS_BY_BOOKMARK, HS_BY_PRESENCE };
/* Outcomes of one key. */
enum { HS_MADE, HS_MADE_ALL_NULL, HS_MADE_FIRST_NULL, HS_MADE_SOME_NULL,
       HS_OUT_OF_KEYS, HS_OUT_OF_TUPLES, HS_NOT_PRESENT, HS_UNKNOWN };

typedef struct {
    hs_segment segments[HS_SEGMENTS], conditions[HS_SEGMENTS];
    uint32_t count, condition_count, flags, key_most, var_most;
    uint32_t tuple_least, tuple_most, tuple_count, tuple_step, tuple_start; /* most 0: no tuples */
    int compare;
    hs_order *order;             /* of Unicode text; NULL: it is not known */
    hs_ledger *ledger;           /* NULL: entries are not compared */
    uint64_t unknown;            /* rows whose entries cannot be told */
    uint64_t *hashes;            /* of the entries of one row */
    uint32_t hash_count, hash_room;
    int failed;                  /* out of memory */
} hs_index;

/* Give the bytes of a separated (lid) or compressed value, at most `most`; 0, or -1 if not to be
 * had. They stay where they are until the next record. */
typedef int (*hs_fetch)(void *to, int separated, const uint8_t *data, uint32_t length,
                        uint32_t most, const uint8_t **out, uint32_t *out_length);

typedef struct {
    const hs_record *record;
    hs_fetch fetch;
    hs_ask_key ask;
    void *to;
    /* What was fetched last for this record: a tuple index asks for it again and again. */
    const uint8_t *asked, *given;
    uint32_t most, given_length;
} hs_source;

/* Find instance `number` (from 1) of a tagged value. `how`: 4 separated, 2 compressed. */
static int hs_instance(const uint8_t *data, uint32_t length, uint32_t header, uint32_t number,
                       const uint8_t **out, uint32_t *out_length, int *how)
{
    uint32_t first, count, from, to;
    *how = header & 6;
    *out = data;
    *out_length = length;
    if (header & 0x40)
        return HS_DAMAGED;
    if (!(header & 8))
        return number == 1 ? HS_VALUE : HS_NULL;
    *how = 0;
    if (header & 0x10) {
        if (!length || 1u + data[0] > length)
            return HS_DAMAGED;
        *out = number == 1 ? data + 1 : data + 1 + data[0];
        *out_length = number == 1 ? data[0] : length - 1 - data[0];
        return number <= 2 ? HS_VALUE : HS_NULL;
    }
    first = length >= 2 ? hs_u16(data) & 0x7FFF : 0;
    if (first < 2 || first % 2 || first > length)
        return HS_DAMAGED;
    count = first / 2;
    if (number > count)
        return HS_NULL;
    from = hs_u16(data + 2 * (number - 1));
    to = number < count ? hs_u16(data + 2 * number) & 0x7FFF : length;
    *how = from & 0x8000 ? 4 : number == 1 ? (int)(header & 2) : 0;
    from &= 0x7FFF;
    if (from > to || to > length)
        return HS_DAMAGED;
    *out = data + from;
    *out_length = to - from;
    return HS_VALUE;
}

/* The value of a column as stored; see hs_instance for `how`. */
static int hs_stored(const hs_record *r, const hs_segment *s, uint32_t number,
                     const uint8_t **out, uint32_t *length, int *how)
{
    hs_span span;
    int state;
    *how = 0;
    span.start = span.length = span.header = 0;
    if (s->id < 128)
        state = hs_fixed(r, s->id, s->offset, s->size, &span);
    else if (s->id < 256)
        state = hs_variable(r, s->id, &span);
    else
        state = hs_tagged(r, s->id, (uint32_t)s->derived, &span);
    if (state == HS_ABSENT) {
        if (s->callback)
            return HS_DAMAGED; /* only a function of the application knows the default */
        *out = s->preset;
        *length = s->preset_length;
        return s->preset && number == 1 ? HS_VALUE : HS_NULL;
    }
    if (state != HS_VALUE)
        return state == HS_NULL ? HS_NULL : HS_DAMAGED;
    return hs_instance(r->data + span.start, span.length, span.header, number, out, length, how);
}

static int hs_fetched(hs_source *from, int separated, uint32_t most, const uint8_t **out,
                      uint32_t *length)
{
    const uint8_t *asked = *out;
    if (from->asked != asked || from->most < most) {
        from->asked = NULL;
        if (from->fetch(from->to, separated, asked, *length, most, &from->given,
                        &from->given_length))
            return HS_DAMAGED;
        from->asked = asked;
        from->most = most;
    }
    *out = from->given;
    *length = from->given_length;
    return HS_VALUE;
}

/* The value of a column, up to `most` bytes of it. */
static int hs_value(hs_source *from, const hs_segment *s, uint32_t number, uint32_t most,
                    const uint8_t **out, uint32_t *length)
{
    int how, state = hs_stored(from->record, s, number, out, length, &how);
    return state == HS_VALUE && how ? hs_fetched(from, how & 4, most, out, length) : state;
}

/* Unicode text; 0 if its weights are not known. */
static uint32_t hs_norm_unicode(const hs_index *x, hs_source *from, const uint8_t *data,
                                uint32_t length, uint8_t *key, uint32_t room)
{
    const uint8_t *body;
    uint32_t size;
    if (!x->order)
        return 0;
    if (room > 1) {
        size = hs_sort_key(x->order, data, length / 2, key + 1, room - 1);
        if (size) {
            key[0] = 0x7F;
            return size + 1;
        }
    }
    if (!from || from->ask(from->to, x->order->object, data, length, &body, &size))
        return 0;
    return hs_put_segment(key, room, body, size);
}

/* Make a non-null segment; returns its length, 0 if it is not known. */
static uint32_t hs_norm(const hs_index *x, hs_source *from, const hs_segment *s,
                        const uint8_t *data, uint32_t length, uint8_t *key, uint32_t room)
{
    uint32_t most = x->var_most < room ? x->var_most : room;
    if (!length) {
        key[0] = s->size ? (x->flags & HS_NULLS_HIGH ? 0xC0 : 0) : 0x40;
        return 1;
    }
    if (s->normal == HS_N_TEXT)
        return hs_norm_text(data, length, key, most);
    if (s->normal == HS_N_BINARY)
        return hs_norm_binary(data, length, key, most);
    if (s->normal == HS_N_FIXED_BINARY)
        return hs_put_segment(key, most, data, length);
    if (s->normal == HS_N_UNICODE)
        return hs_norm_unicode(x, from, data, length, key, most);
    return hs_norm_number(s, data, key, room);
}

/* Append a segment to a key with `room` left; returns its length, 0 if it is not known. Without
 * `from` it is not known of Unicode text that is not all common characters. */
static uint32_t hs_append_from(const hs_index *x, hs_source *from, const hs_segment *s, int state,
                          const uint8_t *data, uint32_t length, uint8_t *key, uint32_t room)
{
    uint32_t n = 1, i;
    if (state == HS_NULL)
        key[0] = x->flags & HS_NULLS_HIGH ? 0xC0 : 0;
    else
        n = hs_norm(x, from, s, data, length, key, room);
    if (s->descending)
        for (i = 0; i < n; i++)
            key[i] = (uint8_t)~key[i];
    return n;
}

static inline uint32_t hs_append(const hs_index *x, const hs_segment *s, int state,
                                 const uint8_t *data, uint32_t length, uint8_t *key, uint32_t room)
{
    return hs_append_from(x, NULL, s, state, data, length, key, room);
}

static int hs_conditions(const hs_index *x, hs_source *from)
{
    uint32_t i, length;
    const uint8_t *data;
    int how, state;
    for (i = 0; i < x->condition_count; i++) {
        state = hs_stored(from->record, &x->conditions[i], 1, &data, &length, &how);
        if (state == HS_DAMAGED)
            return HS_UNKNOWN;
        if ((state == HS_NULL) != (x->conditions[i].must_be_null != 0))
            return HS_NOT_PRESENT;
    }
    return HS_MADE;
}

static int hs_cut_tuple(const hs_index *x, const hs_segment *s, uint32_t at, int state,
                        const uint8_t **data, uint32_t *length)
{
    uint32_t wide = s->normal == HS_N_UNICODE ? 2 : 1;
    if (state != HS_VALUE || (uint64_t)at * wide > *length)
        *length = 0;
    else {
        *data += at * wide;
        *length -= at * wide;
    }
    if (*length > x->tuple_most * wide)
        *length = x->tuple_most * wide;
    return *length < x->tuple_least * wide ? HS_OUT_OF_TUPLES : HS_MADE;
}

/* Say whether the engine would read more of a text: all that it read made no full segment. */
static int hs_wants_more(const hs_index *x, const hs_segment *s, uint32_t length, uint32_t read,
                         uint32_t made, uint32_t room)
{
    return s->normal == HS_N_UNICODE && length == read && x->key_most != HS_OLD_KEY_MOST &&
           made < room && made < x->var_most;
}

/* Make the key of no more than `read` bytes of a text. *more: that was too little. */
static int hs_make_key_of(const hs_index *x, hs_source *from, const uint32_t *numbers,
                          uint32_t tuple_at, uint32_t read, uint8_t *key, uint32_t *key_length,
                          uint32_t *rolled, int *more)
{
    uint32_t i, length = 0, most, made = 0, n, left;
    int all_null = 1, first_null = 0, some_null = 0, out = 1, state, how;
    const uint8_t *data = NULL;
    for (i = 0; i < x->count; i++) {
        const hs_segment *s = &x->segments[i];
        int tuple = x->tuple_most && !i, room = made < x->key_most;
        int unicode = s->normal == HS_N_UNICODE;
        int needed = tuple || x->compare == HS_BY_KEY; /* else it only matters whether it is null */
        most = tuple ? 2 * (x->tuple_start + x->tuple_count * x->tuple_step + x->tuple_most)
                     : unicode ? read : x->key_most;
        state = needed ? hs_value(from, s, numbers[i], most, &data, &length)
                       : hs_stored(from->record, s, numbers[i], &data, &length, &how);
        if (state == HS_DAMAGED ||
            (needed && state == HS_VALUE && s->size && length && length != s->size))
            return HS_UNKNOWN;
        if (s->id >= 256)
            out = out && numbers[i] > 1 && state == HS_NULL;
        if (state == HS_NULL && numbers[i] > 1 && !(x->flags & HS_NESTED)) {
            *rolled = i;
            return HS_OUT_OF_KEYS;
        }
        if (tuple && hs_cut_tuple(x, s, tuple_at, state, &data, &length) != HS_MADE)
            return HS_OUT_OF_TUPLES;
        some_null |= state == HS_NULL;
        first_null |= state == HS_NULL && !i;
        all_null = all_null && (state == HS_NULL || !room);
        if (!room || x->compare != HS_BY_KEY)
            continue;
        if (unicode && length > read)
            length = read;
        left = x->key_most - made;
        n = hs_append_from(x, from, s, state, data, length, key + made, left);
        if (!n)
            return HS_UNKNOWN;
        *more |= state == HS_VALUE && hs_wants_more(x, s, length, read, n, left);
        made += n;
    }
    *key_length = made;
    if (x->flags & HS_NESTED && out) {
        *rolled = 0;
        return HS_OUT_OF_KEYS;
    }
    return all_null ? HS_MADE_ALL_NULL : first_null ? HS_MADE_FIRST_NULL
                    : some_null ? HS_MADE_SOME_NULL : HS_MADE;
}

/* Make the key for these instance numbers. *rolled: the segment that ran out of values.
 * Only as much is made as is compared: nothing but the outcome unless by key. */
static int hs_make_key(const hs_index *x, hs_source *from, const uint32_t *numbers,
                       uint32_t tuple_at, uint8_t *key, uint32_t *key_length, uint32_t *rolled)
{
    uint32_t read;
    int outcome, more;
    for (read = x->key_most; read <= HS_READ_MOST; read *= 2) {
        more = 0;
        outcome = hs_make_key_of(x, from, numbers, tuple_at, read, key, key_length, rolled, &more);
        if (!more || outcome > HS_MADE_SOME_NULL)
            return outcome;
    }
    return HS_UNKNOWN;
}

/* Which instance of each multi-valued segment comes next. */
typedef struct {
    uint32_t numbers[HS_SEGMENTS];
    int multi[HS_SEGMENTS], last;
} hs_sequence;

static void hs_sequence_start(hs_sequence *q, const hs_index *x)
{
    uint32_t i;
    q->last = -1;
    for (i = 0; i < HS_SEGMENTS; i++) {
        q->numbers[i] = 1;
        q->multi[i] = 0;
    }
    for (i = 0; i < x->count && x->flags & HS_MULTI; i++)
        if (x->segments[i].id >= 256 && x->segments[i].multi) {
            q->multi[i] = 1;
            q->last = (int)i;
            if (!(x->flags & (HS_CROSS | HS_NESTED)))
                return;
        }
}

/* Go on after a key was made; 0 if there is nothing to go on with. */
static int hs_sequence_next(hs_sequence *q, const hs_index *x)
{
    int i;
    if (q->last < 0)
        return 0;
    for (i = x->flags & HS_NESTED ? 0 : q->last; i <= q->last; i++)
        q->numbers[i] += (uint32_t)q->multi[i];
    return 1;
}

/* Go on after segment `rolled` ran out of values: to the next value of a more significant one. */
static int hs_sequence_roll(hs_sequence *q, uint32_t rolled)
{
    int i = (int)rolled - 1, k;
    while (i >= 0 && !q->multi[i])
        i--;
    if (i < 0)
        return 0;
    q->numbers[i]++;
    for (k = (int)rolled; k <= q->last; k++)
        q->numbers[k] = 1;
    return 1;
}

static int hs_hash_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void hs_keep_hash(hs_index *x, uint64_t hash)
{
    if (x->hash_count == x->hash_room) {
        uint32_t room = x->hash_room ? 2 * x->hash_room : 64;
        uint64_t *more = realloc(x->hashes, room * sizeof *more);
        if (!more) {
            x->failed = 1;
            return;
        }
        x->hashes = more;
        x->hash_room = room;
    }
    x->hashes[x->hash_count++] = hash;
}

/* Enter the kept hashes, equal ones once: a record has no two equal entries. */
static void hs_enter_kept(hs_index *x)
{
    uint32_t i;
    if (x->hash_count > 1)
        qsort(x->hashes, x->hash_count, sizeof *x->hashes, hs_hash_order);
    for (i = 0; i < x->hash_count; i++)
        if (!i || x->hashes[i] != x->hashes[i - 1])
            hs_enter(x->ledger, HS_ROWS, x->hashes[i], 1);
    x->hash_count = 0;
}

typedef struct {
    const uint8_t *data;
    uint32_t length;
    hs_place place;
} hs_bookmark;

static uint64_t hs_entry_hash(int compare, const uint8_t *key, uint32_t length,
                              const uint8_t *bookmark, uint32_t bookmark_length)
{
    uint64_t seed = compare == HS_BY_KEY ? hs_hash(0, key, length) : 0;
    return hs_hash(seed, bookmark, bookmark_length);
}

static void hs_emit(hs_index *x, const uint8_t *key, uint32_t length, const hs_bookmark *b)
{
    uint64_t hash = hs_entry_hash(x->compare, key, length, b->data, b->length);
    hs_ledger *l = x->ledger;
    if (!l->watched)
        hs_keep_hash(x, hash);
    else if (hs_is_watched(l, hash))
        l->found(l->to, HS_ROWS, key, x->compare == HS_BY_KEY ? length : 0, b->data, b->length, 1,
                 b->place);
}

#define HS_ENTRIES_MOST 65536u

/* The entries of one instance of a tuple index after the first. Returns an outcome. */
static int hs_tuples(hs_index *x, hs_source *from, const hs_sequence *q, uint8_t *key,
                     const hs_bookmark *b)
{
    uint32_t n, length, rolled, at = x->tuple_start;
    for (n = 1; n < x->tuple_count; n++) {
        int outcome;
        at += x->tuple_step;
        outcome = hs_make_key(x, from, q->numbers, at, key, &length, &rolled);
        if (outcome != HS_MADE && outcome != HS_MADE_SOME_NULL)
            return outcome;
        hs_emit(x, key, length, b);
    }
    return HS_OUT_OF_TUPLES;
}

/* Where no key may have a null, one that has some is due all the same: nothing else tells of it. */
static int hs_nulls_allowed(const hs_index *x, int outcome)
{
    return outcome == HS_MADE || x->flags & HS_NO_NULLS || (outcome == HS_MADE_ALL_NULL && x->flags & HS_ALL_NULLS) ||
           (outcome == HS_MADE_FIRST_NULL && x->flags & HS_FIRST_NULL) ||
           (outcome == HS_MADE_SOME_NULL && x->flags & HS_SOME_NULLS);
}

/* Make all entries of a row. Returns 0 if they cannot be told. */
static int hs_make_entries(hs_index *x, hs_source *from, const hs_bookmark *b)
{
    uint8_t key[HS_KEY_MOST];
    uint32_t length = 0, rolled = 0, n;
    hs_sequence q;
    int outcome = hs_conditions(x, from);
    if (outcome != HS_MADE)
        return outcome == HS_NOT_PRESENT;
    hs_sequence_start(&q, x);
    for (n = 0; n < HS_ENTRIES_MOST; n++) {
        outcome = hs_make_key(x, from, q.numbers, x->tuple_start, key, &length, &rolled);
        if (outcome == HS_UNKNOWN)
            return 0;
        if (outcome == HS_OUT_OF_KEYS) {
            if (!hs_sequence_roll(&q, rolled))
                return 1;
            continue;
        }
        if (outcome == HS_OUT_OF_TUPLES) {
            if (!q.multi[0] || !hs_sequence_next(&q, x))
                return 1;
            continue;
        }
        if (!hs_nulls_allowed(x, outcome))
            return 1;
        hs_emit(x, key, length, b);
        if (x->compare != HS_BY_KEY)
            return 1; /* one is enough for the bookmark */
        if (x->tuple_most && hs_tuples(x, from, &q, key, b) == HS_UNKNOWN)
            return 0;
        if (outcome == HS_MADE_ALL_NULL || !hs_sequence_next(&q, x))
            return 1;
    }
    return 0;
}

static void hs_row_entries(hs_index *x, hs_source *from, const hs_bookmark *b)
{
    x->hash_count = 0;
    if (!hs_make_entries(x, from, b))
        x->unknown++;
    else
        hs_enter_kept(x);
}

#endif
