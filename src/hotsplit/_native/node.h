/* Nodes of a page: taken apart, compared, found. See tree_py.py for the readable form and
 * format specification 3.1, 3.2, 4.2 for the rules. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_NODE_H
#define HOTSPLIT_NODE_H

#include "page.h"

static inline int hs_is_root(const uint8_t *p) { return p[36] & 1; }

/* A node taken apart. */
typedef struct {
    uint8_t *page;
    uint32_t size, line, key_part, shared, flags, data_size;
    const uint8_t *start, *prefix, *suffix, *data;
    uint32_t suffix_size;
} hs_node;

static inline const char *hs_prefix(const uint8_t *p, uint32_t size, const uint8_t **prefix, uint32_t *length)
{
    uint32_t flags = hs_get32(p + 36);
    hs_line t;
    const char *why;
    *length = 0;
    *prefix = p;
    if ((flags & 0x21u) == 1u || !hs_count(p))
        return NULL;
    why = hs_locate(p, size, 0, &t);
    if (why)
        return why;
    if (flags & 1u) {
        if (t.length > 16) {
            *prefix = p + t.start + 16;
            *length = t.length - 16;
        }
        return NULL;
    }
    *prefix = p + t.start;
    *length = t.length;
    return NULL;
}

static inline const char *hs_read_node(uint8_t *page, uint32_t size, uint32_t iline, hs_node *n)
{
    uint32_t at = 0, prefix_size;
    hs_line t;
    const char *why;
    n->page = page;
    n->size = size;
    n->line = iline + hs_reserved(page);
    why = hs_locate(page, size, n->line, &t);
    if (!why)
        why = hs_prefix(page, size, &n->prefix, &prefix_size);
    if (why)
        return why;
    n->start = page + t.start;
    n->flags = t.flags;
    n->shared = 0;
    if (t.flags & HS_NODE_COMPRESSED) {
        if (t.length < 4)
            return "a node does not fit its line";
        n->shared = hs_get16(n->start) & 0x1FFFu;
        at = 2;
    }
    if (t.length < at + 2)
        return "a node does not fit its line";
    n->suffix_size = hs_get16(n->start + at) & 0x1FFFu;
    n->key_part = at + 2 + n->suffix_size;
    if (n->key_part > t.length || n->shared > prefix_size)
        return "a node does not fit its line";
    n->suffix = n->start + at + 2;
    n->data = n->start + n->key_part;
    n->data_size = t.length - n->key_part;
    return NULL;
}

/* Compare a node's key with `key`: below 0, 0, above 0. */
static inline int hs_compare_key(const hs_node *n, const uint8_t *key, uint32_t size)
{
    uint32_t part = n->shared < size ? n->shared : size, whole = n->shared + n->suffix_size;
    int order = part ? memcmp(n->prefix, key, part) : 0;
    if (order || part < n->shared)
        return order ? order : 1;
    part = n->suffix_size < size - n->shared ? n->suffix_size : size - n->shared;
    order = part ? memcmp(n->suffix, key + n->shared, part) : 0;
    if (order)
        return order;
    return whole < size ? -1 : whole > size;
}

static inline int hs_compare_bytes(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
    uint32_t part = a_size < b_size ? a_size : b_size;
    int order = part ? memcmp(a, b, part) : 0;
    if (order)
        return order;
    return a_size < b_size ? -1 : a_size > b_size;
}

/* The first node not below (key, data); `data` NULL: not below key. *exact: it is that one. */
static inline const char *hs_find_node(uint8_t *p, uint32_t size, const uint8_t *key, uint32_t key_size,
                                const uint8_t *data, uint32_t data_size, uint32_t *at, int *exact)
{
    uint32_t first = hs_reserved(p), count = hs_count(p), low = 0, high;
    hs_node n;
    *exact = 0;
    high = count > first ? count - first : 0;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const char *why = hs_read_node(p, size, middle, &n);
        int order;
        if (why)
            return why;
        order = hs_compare_key(&n, key, key_size);
        if (!order && data)
            order = hs_compare_bytes(n.data, n.data_size, data, data_size);
        if (order < 0)
            low = middle + 1;
        else {
            high = middle;
            if (!order)
                *exact = 1;
        }
    }
    *at = low;
    return NULL;
}

/* The child below which a bookmark belongs: the first separator above it, or the last child. */
static inline const char *hs_find_child(uint8_t *p, uint32_t size, const uint8_t *mark, uint32_t mark_size,
                                 uint32_t *at, uint32_t *pgno)
{
    uint32_t first = hs_reserved(p), count = hs_count(p), low = 0, high;
    const char *why;
    hs_node n;
    if (count <= first)
        return "an internal page has no children";
    high = count - first - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        why = hs_read_node(p, size, middle, &n);
        if (why)
            return why;
        if (n.shared + n.suffix_size && hs_compare_key(&n, mark, mark_size) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    why = hs_read_node(p, size, low, &n);
    if (why)
        return why;
    if (n.data_size != 4)
        return "a child pointer is not 4 bytes long";
    *at = low;
    *pgno = hs_get32(n.data);
    return NULL;
}

#endif
