/* Searching pages of trees, and gathering long values. Readable reference: lookup_py.py.
 * Source: format specification 3.1 (nodes), 3.3 (internal nodes), 4.2 (separators), 4.3 (seek),
 * 8.1 to 8.3 (long values). */
#ifndef HOTSPLIT_LOOKUP_H
#define HOTSPLIT_LOOKUP_H

#include <stdlib.h>

#include "compress.h"
#include "record.h"

enum { HT_DAMAGED = -1, HT_NO_CHILDREN = -2, HT_BAD_CHILD = -3, HT_NO_MEMORY = -4 };

static uint32_t ht_node_count(const hs_page *p)
{
    return p->count > p->first ? p->count - p->first : 0;
}

static int ht_compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
    uint32_t common = a_size < b_size ? a_size : b_size;
    int order = common ? memcmp(a, b, common) : 0;
    return order ? order : a_size < b_size ? -1 : a_size > b_size;
}

/* Compare the whole key of a node with `key`: less, equal or greater than 0. */
static int ht_compare_key(const hs_page *p, const hs_node *n, const uint8_t *key, uint32_t size)
{
    uint32_t head = n->shared < size ? n->shared : size;
    int order = head ? memcmp(p->data + p->prefix, key, head) : 0;
    if (order || n->shared > size)
        return order ? order : 1;
    return ht_compare(p->data + n->key, n->key_length, key + n->shared, size - n->shared);
}

/* Number of the first node with a key >= `key`; the number of nodes if there is none. */
static int ht_lower_bound(const hs_page *p, const uint8_t *key, uint32_t size)
{
    uint32_t low = 0, high = ht_node_count(p), middle;
    hs_node node;
    while (low < high) {
        middle = (low + high) / 2;
        if (hs_find_node(p, p->first + middle, &node))
            return HT_DAMAGED;
        if (ht_compare_key(p, &node, key, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low;
}

/* Number of the child below which `key` belongs: its separator is greater; an empty one is. */
static int ht_child_for(const hs_page *p, const uint8_t *key, uint32_t size)
{
    uint32_t low = 0, high = ht_node_count(p), middle;
    hs_node node;
    if (!high)
        return HT_NO_CHILDREN;
    high--; /* the last child takes everything else */
    while (low < high) {
        middle = (low + high) / 2;
        if (hs_find_node(p, p->first + middle, &node))
            return HT_DAMAGED;
        if (node.shared + node.key_length && ht_compare_key(p, &node, key, size) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low;
}

static int ht_child(const hs_page *p, uint32_t i, uint32_t *pgno)
{
    hs_node node;
    if (hs_find_node(p, p->first + i, &node))
        return HT_DAMAGED;
    if (node.length != 4)
        return HT_BAD_CHILD;
    *pgno = hs_u32(p->data + node.data);
    return 0;
}

/* ---- long values ---- */

enum { HT_WANTED = 0, HT_FOUND = 1, HT_HARD = 2, HT_TOO_LARGE = 3 };

typedef struct {
    uint64_t lid;
    size_t start;
    uint32_t size;
    int state;
} ht_value;

typedef struct {
    ht_value *values; /* in order of their keys */
    uint32_t count, at;
    uint32_t chunk;
    int inside;    /* the root of the current value was found */
    uint32_t done; /* bytes of it that are there */
    uint8_t *arena;
    size_t used, room, budget;
} ht_gather;

/* Write the key of the node that is wanted next; returns its size, at most 12. */
static uint32_t ht_wanted_key(const ht_gather *g, uint8_t *key)
{
    uint64_t lid = g->values[g->at].lid;
    uint32_t size = lid >> 63 ? 8 : 4, i;
    for (i = 0; i < size; i++)
        key[i] = (uint8_t)(lid >> 8 * (size - 1 - i));
    if (!g->inside)
        return size;
    for (i = 0; i < 4; i++)
        key[size + i] = (uint8_t)(g->done >> 8 * (3 - i));
    return size + 4;
}

static void ht_leave(ht_gather *g, int state)
{
    ht_value *value = &g->values[g->at++];
    value->state = state;
    if (state != HT_FOUND)
        g->used = value->start;
    g->inside = 0;
}

static int ht_take_root(ht_gather *g, const uint8_t *p, uint32_t n)
{
    ht_value *value = &g->values[g->at];
    value->start = g->used;
    if ((n != 8 && n != 9) || (n == 9 && p[8] & 1) || hs_u32(p) == 0xFFFFFFFFu)
        return HT_HARD;
    value->size = hs_u32(p + 4);
    if (value->size > 0x7FFFFFFF)
        return HT_HARD;
    if (value->size > g->budget - g->used)
        return HT_TOO_LARGE;
    g->inside = 1;
    g->done = 0;
    return value->size ? HT_WANTED : HT_FOUND;
}

/* Decompress a chunk that makes `size` bytes; returns 0 if that went well. */
static int ht_undo(const uint8_t *p, uint32_t n, uint8_t *to, uint32_t size)
{
    int scheme = n ? p[0] >> 3 : 0;
    uint32_t wide = scheme == 2, count;
    if (scheme == 1 || scheme == 2) {
        if (n < 2)
            return -1;
        count = ((n - 2) * 8 + (p[0] & 7) + 1) / 7;
        if (count << wide != size)
            return -1;
        memset(to, 0, size);
        seven_decode(p + 1, to, count, 1 << wide);
        return 0;
    }
    if (scheme != 3 || n < 3 || (uint32_t)(p[1] | p[2] << 8) != size)
        return -1;
    if (n - 3 == size) {
        memcpy(to, p + 3, size);
        return 0;
    }
    return xpress_decode_c(p + 3, n - 3, to, size);
}

static int ht_take_chunk(ht_gather *g, const uint8_t *p, uint32_t n)
{
    ht_value *value = &g->values[g->at];
    uint32_t expected = value->size - g->done;
    size_t room;
    uint8_t *arena;
    if (expected > g->chunk)
        expected = g->chunk;
    if (g->used + expected > g->room) {
        room = (g->used + expected) * 3 / 2 + 4096;
        arena = realloc(g->arena, room);
        if (!arena)
            return HT_NO_MEMORY;
        g->arena = arena;
        g->room = room;
    }
    if (n == expected)
        memcpy(g->arena + g->used, p, n);
    else if (n > expected || ht_undo(p, n, g->arena + g->used, expected))
        return HT_HARD;
    g->used += expected;
    g->done += expected;
    return g->done == value->size ? HT_FOUND : HT_WANTED;
}

/* Take all wanted nodes of a leaf, from its first wanted one on. What is looked for next lies
 * behind the page then. A value that is not as it should be is left to others: HT_HARD. */
static int ht_take(ht_gather *g, const hs_page *p)
{
    uint8_t key[12];
    uint32_t size, count = ht_node_count(p), i;
    int state, order, found = -1;
    hs_node node;
    for (; g->at < g->count;) {
        size = ht_wanted_key(g, key);
        if (found < 0)
            found = ht_lower_bound(p, key, size);
        if (found < 0) {
            ht_leave(g, HT_HARD);
            continue;
        }
        for (i = (uint32_t)found;; i++) {
            if (i >= count)
                return 0;
            if (hs_find_node(p, p->first + i, &node)) {
                order = 1;
                break;
            }
            order = ht_compare_key(p, &node, key, size);
            if (order >= 0 && !(node.flags & 2))
                break;
        }
        if (order) {
            if (!g->inside)
                g->values[g->at].start = g->used;
            ht_leave(g, HT_HARD);
            found = -1;
            continue;
        }
        state = g->inside ? ht_take_chunk(g, p->data + node.data, node.length)
                          : ht_take_root(g, p->data + node.data, node.length);
        if (state == HT_NO_MEMORY)
            return HT_NO_MEMORY;
        if (state != HT_WANTED)
            ht_leave(g, state);
        found = state == HT_WANTED || state == HT_FOUND ? (int)i + 1 : -1;
    }
    return 0;
}

#endif
