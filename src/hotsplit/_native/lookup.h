/* Searching pages of trees. Readable reference: lookup_py.py.
 * Source: format specification 3.1 (nodes), 3.3 (internal nodes), 4.2 (separators), 4.3 (seek). */
#ifndef HOTSPLIT_LOOKUP_H
#define HOTSPLIT_LOOKUP_H

#include "record.h"

enum { HT_DAMAGED = -1, HT_NO_CHILDREN = -2, HT_BAD_CHILD = -3 };

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

#endif
