/* The table of resident pages: (dbid, pgno) -> bytes owned by somebody else, by chained hashing. */
#ifndef HOTSPLIT_PAGETABLE_H
#define HOTSPLIT_PAGETABLE_H

#include <stdint.h>
#include <stdlib.h>

enum { HS_DIRTY = 1, HS_SKIP = 2, HS_PLANNED = 4 };

typedef struct hs_slot {
    struct hs_slot *next;
    uint64_t key;                            /* dbid << 32 | pgno */
    uint8_t *data;                           /* NULL while skipped */
    uint64_t used;                           /* when it was last asked for */
    uint32_t flags;
} hs_slot;

typedef struct {
    hs_slot **buckets;
    uint32_t room, count;
    uint64_t clock;
} hs_table;

static inline uint64_t hs_key(uint32_t dbid, uint32_t pgno) { return (uint64_t)dbid << 32 | pgno; }

static inline uint32_t hs_bucket(const hs_table *t, uint64_t key)
{
    return (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & (t->room - 1);
}

static inline hs_slot *hs_look(hs_table *t, uint64_t key)
{
    hs_slot *s;
    if (!t->room)
        return NULL;
    for (s = t->buckets[hs_bucket(t, key)]; s; s = s->next)
        if (s->key == key) {
            s->used = ++t->clock;
            return s;
        }
    return NULL;
}

static int hs_table_grow(hs_table *t)
{
    hs_table next = *t;
    uint32_t i;
    next.room = t->room ? t->room * 2 : 1024;
    next.buckets = calloc(next.room, sizeof *next.buckets);
    if (!next.buckets)
        return 0;
    for (i = 0; i < t->room; i++)
        while (t->buckets[i]) {
            hs_slot *s = t->buckets[i];
            uint32_t b = hs_bucket(&next, s->key);
            t->buckets[i] = s->next;
            s->next = next.buckets[b];
            next.buckets[b] = s;
        }
    free(t->buckets);
    *t = next;
    return 1;
}

/* The slot of a key, made if need be; NULL when memory is out. */
static hs_slot *hs_put(hs_table *t, uint64_t key)
{
    hs_slot *s = hs_look(t, key);
    uint32_t b;
    if (s)
        return s;
    if (t->count >= t->room && !hs_table_grow(t))
        return NULL;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    b = hs_bucket(t, key);
    s->key = key;
    s->used = ++t->clock;
    s->next = t->buckets[b];
    t->buckets[b] = s;
    t->count++;
    return s;
}

static void hs_drop(hs_table *t, uint64_t key)
{
    hs_slot **at;
    if (!t->room)
        return;
    for (at = &t->buckets[hs_bucket(t, key)]; *at; at = &(*at)->next)
        if ((*at)->key == key) {
            hs_slot *s = *at;
            *at = s->next;
            free(s);
            t->count--;
            return;
        }
}

static void hs_table_free(hs_table *t)
{
    uint32_t i;
    for (i = 0; i < t->room; i++)
        while (t->buckets[i]) {
            hs_slot *s = t->buckets[i];
            t->buckets[i] = s->next;
            free(s);
        }
    free(t->buckets);
    t->buckets = NULL;
    t->room = t->count = 0;
}

#endif
