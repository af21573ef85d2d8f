/* Collecting index entries and sorting them. Readable reference: collect_py.py.
 * Takes the place of a ledger whose buckets are all watched: what it is handed it keeps. */
#ifndef HOTSPLIT_COLLECT_H
#define HOTSPLIT_COLLECT_H

#include <stdlib.h>
#include "fingerprint.h"

typedef struct {
    uint64_t head;               /* the first bytes of the key, as a number that sorts as they do */
    size_t at;                   /* of the key in `bytes`; the data follows */
    uint32_t key_length, length;
    const uint8_t *key;          /* while they are sorted */
} hs_item;

typedef struct {
    uint8_t *bytes;
    hs_item *items;
    size_t used, room, count, item_room;
    int failed;                  /* out of memory: what was handed then is missing */
} hs_collection;

static uint64_t hs_first_bytes(const uint8_t *key, uint32_t length)
{
    uint64_t head = 0;
    uint32_t i;
    for (i = 0; i < 8; i++)
        head = head << 8 | (i < length ? key[i] : 0);
    return head;
}

static void *hs_grown(void *old, size_t *room, size_t wanted, size_t unit)
{
    size_t more = *room ? *room : 1024;
    void *new;
    while (more < wanted)
        more *= 2;
    new = realloc(old, more * unit);
    if (new)
        *room = more;
    return new;
}

static void hs_collect(void *to, int side, const uint8_t *key, uint32_t key_length,
                       const uint8_t *data, uint32_t length, uint64_t count, hs_place place)
{
    hs_collection *c = to;
    hs_item *item;
    void *grown;
    (void)side, (void)count, (void)place;
    if (c->used + key_length + length > c->room) {
        grown = hs_grown(c->bytes, &c->room, c->used + key_length + length, 1);
        if (grown)
            c->bytes = grown;
        c->failed |= !grown;
    }
    if (c->count == c->item_room) {
        grown = hs_grown(c->items, &c->item_room, c->count + 1, sizeof *c->items);
        if (grown)
            c->items = grown;
        c->failed |= !grown;
    }
    if (c->failed)
        return;
    item = &c->items[c->count++];
    item->head = hs_first_bytes(key, key_length);
    item->at = c->used;
    item->key_length = key_length;
    item->length = length;
    memcpy(c->bytes + c->used, key, key_length);
    memcpy(c->bytes + c->used + key_length, data, length);
    c->used += key_length + length;
}

static int hs_order_bytes(const uint8_t *a, uint32_t a_length, const uint8_t *b, uint32_t b_length)
{
    int c = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return c ? c : a_length < b_length ? -1 : a_length > b_length;
}

static int hs_item_order(const void *one, const void *other)
{
    const hs_item *a = one, *b = other;
    int c;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    c = hs_order_bytes(a->key, a->key_length, b->key, b->key_length);
    return c ? c : hs_order_bytes(a->key + a->key_length, a->length, b->key + b->key_length,
                                  b->length);
}

/* Sort by key and data; equal ones are left out but for the first. Returns the bytes of a run. */
static size_t hs_sort_collection(hs_collection *c)
{
    size_t i, kept = 0, size = 0;
    for (i = 0; i < c->count; i++)
        c->items[i].key = c->bytes + c->items[i].at;
    if (c->count)
        qsort(c->items, c->count, sizeof *c->items, hs_item_order);
    for (i = 0; i < c->count; i++) {
        if (kept && !hs_item_order(&c->items[kept - 1], &c->items[i]))
            continue;
        c->items[kept++] = c->items[i];
        size += 8 + c->items[i].key_length + c->items[i].length;
    }
    c->count = kept;
    return size;
}

/* Write a run: of each entry the lengths of key and data, and these. Empties the collection. */
static void hs_write_run(hs_collection *c, uint8_t *out)
{
    size_t i;
    for (i = 0; i < c->count; i++) {
        const hs_item *item = &c->items[i];
        memcpy(out, &item->key_length, 4);
        memcpy(out + 4, &item->length, 4);
        memcpy(out + 8, item->key, item->key_length + item->length);
        out += 8 + item->key_length + item->length;
    }
    c->count = c->used = 0;
}

#endif
