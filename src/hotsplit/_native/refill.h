/* A page filled anew, with given nodes or with those of another page. See tree_py.py for the readable
 * form; format specification 2.4, 3.1, 3.2. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_REFILL_H
#define HOTSPLIT_REFILL_H

#include "node.h"

#define HS_KEY_ROOM (HS_PAGE_MAX + 0x2000u)
#define HS_NODE_COST 6u                      /* bytes of a node beside its key and data */

/* A page being filled. prefix: what keys may share, from byte `start` on, empty for none. */
typedef struct {
    uint8_t *page;
    const uint8_t *prefix;
    uint32_t size, prefix_size, start, used, lines;
} hs_refill;

/* A node as it is given: with its whole key. */
typedef struct {
    const uint8_t *key, *data;
    uint32_t key_size, data_size, flags;
} hs_given;

/* Lines of a page and one change of them: a node inserted as number `at`, or in place of that one. */
typedef struct {
    uint8_t *page;
    uint32_t size, at;
    const hs_given *given;                   /* NULL: no change */
    int replaces;
} hs_source;

/* Begin with the external header. Returns 0 if it has no room. */
static int hs_refill_begin(hs_refill *f, uint8_t *page, uint32_t size, const uint8_t *external,
                           uint32_t length, int compress)
{
    uint32_t head = hs_head(size);
    hs_line t = {0, length, 0};
    f->page = page;
    f->size = size;
    f->prefix = external;
    f->prefix_size = compress ? length : 0;
    f->start = compress && hs_is_root(page) ? (length < 16 ? length : 16) : 0;
    f->used = length;
    f->lines = 1;
    memset(page + head, 0, size - head);
    if (head + length + 4 > size)
        return 0;
    memcpy(page + head, external, length);
    hs_set_tag(page, size, 0, t);
    return 1;
}

/* Add a node behind the last one. Returns 0 if it has no room. */
static int hs_refill_add(hs_refill *f, const hs_given *n)
{
    uint32_t head = hs_head(f->size), shared = 0, at;
    uint8_t *out;
    hs_line t;
    while (shared < n->key_size && f->start + shared < f->prefix_size
            && n->key[shared] == f->prefix[f->start + shared])
        shared++;
    if (shared <= 2)
        shared = 0;
    at = shared ? 4 : 2;
    t.start = f->used;
    t.length = at + n->key_size - shared + n->data_size;
    t.flags = (n->flags & 3u) | (shared ? HS_NODE_COMPRESSED : 0);
    if (head + f->used + t.length + 4 * (f->lines + 1) > f->size || f->lines >= 0xFFFu)
        return 0;
    out = f->page + head + f->used;
    if (shared)
        hs_put16(out, shared);
    hs_put16(out + at - 2, n->key_size - shared);
    memcpy(out + at, n->key + shared, n->key_size - shared);
    memcpy(out + at + n->key_size - shared, n->data, n->data_size);
    hs_set_tag(f->page, f->size, f->lines, t);
    f->used += t.length;
    f->lines++;
    return 1;
}

static void hs_refill_end(const hs_refill *f)
{
    hs_set_count(f->page, f->lines);
    hs_set_free(f->page, f->size - hs_head(f->size) - f->used - 4 * f->lines);
    hs_put16(f->page + 32, f->used);
}

/* Line number `i` of a source; key: room for HS_KEY_ROOM bytes. */
static const char *hs_source_node(const hs_source *s, uint32_t i, uint8_t *key, hs_given *found)
{
    const char *why;
    hs_node n;
    if (s->given && i == s->at) {
        *found = *s->given;
        return NULL;
    }
    why = hs_read_node(s->page, s->size, s->given && !s->replaces && i > s->at ? i - 1 : i, &n);
    if (why)
        return why;
    memcpy(key, n.prefix, n.shared);
    memcpy(key + n.shared, n.suffix, n.suffix_size);
    found->key = key;
    found->key_size = n.shared + n.suffix_size;
    found->data = n.data;
    found->data_size = n.data_size;
    found->flags = n.flags;
    return NULL;
}

/* Add lines first..last-1 of a source, which is another page. */
static const char *hs_refill_part(hs_refill *f, const hs_source *s, uint32_t first, uint32_t last)
{
    uint8_t key[HS_KEY_ROOM];
    uint32_t i;
    hs_given found;
    for (i = first; i < last; i++) {
        const char *why = hs_source_node(s, i, key, &found);
        if (why)
            return why;
        if (!hs_refill_add(f, &found))
            return "the nodes do not fit the page";
    }
    return NULL;
}

/* Bytes of keys that a prefix saves in lines first..last-1 of a page. */
static const char *hs_saved_on(uint8_t *page, uint32_t size, uint32_t first, uint32_t last,
                               const uint8_t *prefix, uint32_t length, uint64_t *saved)
{
    uint32_t i;
    *saved = 0;
    for (i = first; i < last; i++) {
        uint32_t most, same = 0;
        const char *why;
        hs_node n;
        why = hs_read_node(page, size, i, &n);
        if (why)
            return why;
        most = n.shared < length ? n.shared : length;
        while (same < most && n.prefix[same] == prefix[same])
            same++;
        if (same == n.shared) {
            most = n.suffix_size < length - same ? n.suffix_size : length - same;
            most += same;
            while (same < most && n.suffix[same - n.shared] == prefix[same])
                same++;
        }
        *saved += same > 2 ? same - 2 : 0;
    }
    return NULL;
}

#endif
