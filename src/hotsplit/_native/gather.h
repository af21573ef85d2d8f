/* Gathering long values. Readable reference: gather_py.py.
 * Source: format specification 8.1 (tree), 8.2 (chunks), 8.3 (reader), 9 (compression). */
#ifndef HOTSPLIT_GATHER_H
#define HOTSPLIT_GATHER_H

#include <stdlib.h>

#include "compress.h"
#include "lookup.h"
#include "run.h"

enum { HG_NO_MEMORY = -1 };

enum { HG_WANTED = 0, HG_FOUND = 1, HG_HARD = 2, HG_TOO_LARGE = 3 };

typedef struct {
    uint64_t lid;
    size_t start;
    uint32_t size;
    int state;
} hg_value;

typedef struct {
    hg_value *values; /* in order of their keys */
    uint32_t count, at;
    uint32_t chunk;
    int inside;    /* the root of the current value was found */
    uint32_t done; /* bytes of it that are there */
    uint8_t *arena;
    size_t used, room, budget;
} hg_gather;

/* Write the key of the node that is wanted next; returns its size, at most 12. */
static uint32_t hg_wanted_key(const hg_gather *g, uint8_t *key)
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

static void hg_leave(hg_gather *g, int state)
{
    hg_value *value = &g->values[g->at++];
    value->state = state;
    if (state != HG_FOUND && g->inside) /* else it has no place yet to be given back */
        g->used = value->start;
    g->inside = 0;
}

static int hg_take_root(hg_gather *g, const uint8_t *p, uint32_t n)
{
    hg_value *value = &g->values[g->at];
    value->start = g->used;
    if ((n != 8 && n != 9) || (n == 9 && p[8] & 1) || hs_u32(p) == 0xFFFFFFFFu)
        return HG_HARD;
    value->size = hs_u32(p + 4);
    if (value->size > 0x7FFFFFFF)
        return HG_HARD;
    if (value->size > g->budget - g->used)
        return HG_TOO_LARGE;
    g->inside = 1;
    g->done = 0;
    return value->size ? HG_WANTED : HG_FOUND;
}

/* Decompress a chunk that makes `size` bytes; returns 0 if that went well. */
static int hg_undo(const uint8_t *p, uint32_t n, uint8_t *to, uint32_t size)
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

static int hg_take_chunk(hg_gather *g, const uint8_t *p, uint32_t n)
{
    hg_value *value = &g->values[g->at];
    uint32_t expected = value->size - g->done;
    size_t room;
    uint8_t *arena;
    if (expected > g->chunk)
        expected = g->chunk;
    if (g->used + expected > g->room) {
        room = (g->used + expected) * 3 / 2 + 4096;
        arena = realloc(g->arena, room);
        if (!arena)
            return HG_NO_MEMORY;
        g->arena = arena;
        g->room = room;
    }
    if (n == expected)
        memcpy(g->arena + g->used, p, n);
    else if (n > expected || hg_undo(p, n, g->arena + g->used, expected))
        return HG_HARD;
    g->used += expected;
    g->done += expected;
    return g->done == value->size ? HG_FOUND : HG_WANTED;
}

/* Take all wanted nodes of a leaf, from its first wanted one on. What is looked for next lies
 * behind the page then. A value that is not as it should be is left to others: HG_HARD. */
static int hg_take(hg_gather *g, const hs_page *p)
{
    uint8_t key[12];
    uint32_t size, count = ht_node_count(p), i;
    int state, order, found = -1;
    hs_node node;
    for (; g->at < g->count;) {
        size = hg_wanted_key(g, key);
        if (found < 0)
            found = ht_lower_bound(p, key, size);
        if (found < 0) {
            hg_leave(g, HG_HARD);
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
            hg_leave(g, HG_HARD);
            found = -1;
            continue;
        }
        state = g->inside ? hg_take_chunk(g, p->data + node.data, node.length)
                          : hg_take_root(g, p->data + node.data, node.length);
        if (state == HG_NO_MEMORY)
            return HG_NO_MEMORY;
        if (state != HG_WANTED)
            hg_leave(g, state);
        found = state == HG_WANTED || state == HG_FOUND ? (int)i + 1 : -1;
    }
    return 0;
}

/* Take leaves by their links inside a run, as long as they have what is wanted. *pgno is the leaf
 * where it belongs, or the one to go on with. */
static int hg_walk(hg_gather *g, const hs_run *run, uint32_t *pgno)
{
    hs_page page;
    uint32_t at, done;
    int status, inside;
    for (;;) {
        if (g->at >= g->count)
            return HS_END;
        if (!hs_in_run(run, *pgno))
            return HS_OUTSIDE;
        if (hs_open_leaf(run, *pgno, &page))
            return HS_REFUSED;
        at = g->at;
        done = g->done;
        inside = g->inside;
        status = hg_take(g, &page);
        if (status)
            return status;
        if (at == g->at && inside == g->inside && (!inside || done == g->done)) {
            if (inside)
                hg_leave(g, HG_HARD);
            return HS_SEEK;
        }
        *pgno = page.flags & 1 ? 0 : page.next;
        if (g->at >= g->count || (!g->inside && !hs_in_run(run, *pgno)))
            return g->at >= g->count ? HS_END : HS_SEEK;
        if (!*pgno) {
            hg_leave(g, HG_HARD);
            return HS_SEEK;
        }
    }
}

/* The value of an id, or NULL. */
static const hg_value *hg_find(const hg_gather *g, uint64_t lid)
{
    uint32_t low = 0, high = g->count, middle;
    while (low < high) {
        middle = (low + high) / 2;
        if (g->values[middle].lid < lid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < g->count && g->values[low].lid == lid ? &g->values[low] : NULL;
}

#endif
