/* Where new nodes go on a leaf, and the Insert records that put them there. See insert_py.py for the
 * readable form; log specification 4.1, 4.6. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_INSERT_H
#define HOTSPLIT_INSERT_H

#include "node.h"

#define HS_MOST_TAGS 0xFF0u
#define HS_INSERT_HEAD 50u
#define HS_UNIQUE 4u

/* A new node: its key and data, the line that it gets, the bytes that the page prefix stands for.
 * pgno: its leaf; before: the dbtime of that until then.
 */
typedef struct {
    const uint8_t *key, *data;
    uint32_t key_size, data_size, line, shared, pgno;
    uint64_t before;
} hs_new;

/* A leaf that nodes are planned for. room: bytes that are left; lines: counted with those planned. */
typedef struct {
    uint8_t *page;
    const uint8_t *prefix;
    uint32_t size, prefix_size, room, lines, nodes, planned;
    int unique;
} hs_leaf;

/* What the records of one run have in common. dbtime, rceid: of the first. */
typedef struct {
    uint64_t dbtime;
    uint32_t procid, dbid, trx, level, flags, rceid, fdp, objid;
} hs_common;

static const char *hs_open_leaf_for(hs_leaf *leaf, uint8_t *page, uint32_t size, int unique)
{
    uint32_t free_now = hs_free(page), kept = hs_get16(page + 30), reserved = hs_reserved(page);
    leaf->page = page;
    leaf->size = size;
    leaf->unique = unique;
    leaf->planned = 0;
    leaf->lines = hs_count(page);
    leaf->nodes = leaf->lines > reserved ? leaf->lines - reserved : 0;
    leaf->room = free_now > kept ? free_now - kept : 0;
    return hs_prefix(page, size, &leaf->prefix, &leaf->prefix_size);
}

/* A node and the lowest bookmark of another leaf; without unique keys that is key and data in one. */
static int hs_compare_mark(const hs_new *n, const uint8_t *mark, uint32_t size, int unique)
{
    uint32_t part = n->key_size < size ? n->key_size : size;
    int order = part ? memcmp(n->key, mark, part) : 0;
    if (order)
        return order;
    if (unique || n->key_size > size)
        return n->key_size < size ? -1 : n->key_size > size;
    return hs_compare_bytes(n->data, n->data_size, mark + part, size - part);
}

static int hs_is_above(const hs_new *n, const hs_new *before, int unique)
{
    int order = hs_compare_bytes(n->key, n->key_size, before->key, before->key_size);
    if (order || unique)
        return order > 0;
    return hs_compare_bytes(n->data, n->data_size, before->data, before->data_size) > 0;
}

/* Find the line of a node that follows those planned. *fits: 0 if it is there or has no room. */
static const char *hs_place_new(hs_leaf *leaf, hs_new *n, int *fits)
{
    const uint8_t *data = leaf->unique ? NULL : n->data;
    uint32_t most = leaf->prefix_size < n->key_size ? leaf->prefix_size : n->key_size, need;
    int exact = 0, order = 1;
    const char *why;
    hs_node last;
    *fits = 0;
    for (n->shared = 0; n->shared < most && leaf->prefix[n->shared] == n->key[n->shared];)
        n->shared++;
    if (n->shared <= 2)
        n->shared = 0;
    need = n->key_size - n->shared + n->data_size + (n->shared ? 8 : 6);
    if (leaf->lines >= HS_MOST_TAGS || need > leaf->room)
        return NULL;
    n->line = leaf->nodes;
    if (leaf->nodes) {                       /* most often it goes to the end */
        why = hs_read_node(leaf->page, leaf->size, leaf->nodes - 1, &last);
        if (why)
            return why;
        order = hs_compare_key(&last, n->key, n->key_size);
        if (!order && data)
            order = hs_compare_bytes(last.data, last.data_size, data, n->data_size);
        if (order >= 0) {
            why = hs_find_node(leaf->page, leaf->size, n->key, n->key_size, data, n->data_size,
                               &n->line, &exact);
            if (why || exact)
                return why;
        }
    }
    n->line += leaf->planned++;
    leaf->lines++;
    leaf->room -= need;
    *fits = 1;
    return NULL;
}

static size_t hs_insert_size(const hs_new *n)
{
    return HS_INSERT_HEAD + (size_t)n->key_size + n->data_size;
}

/* Write the record of new node `number` of a run. */
static void hs_put_insert(uint8_t *r, const hs_common *c, const hs_new *n, uint32_t number)
{
    r[0] = 29;
    hs_put16(r + 1, c->procid);
    r[3] = (uint8_t)c->dbid;
    hs_put32(r + 4, n->pgno);
    hs_put64(r + 8, c->dbtime + number);
    hs_put64(r + 16, n->before);
    hs_put32(r + 24, c->trx);
    r[28] = (uint8_t)c->level;
    hs_put16(r + 29, n->line);
    r[31] = (uint8_t)c->flags;
    hs_put32(r + 32, c->rceid ? c->rceid + 2 * number : 0);
    hs_put32(r + 36, c->fdp);
    hs_put32(r + 40, c->objid);
    hs_put16(r + 44, n->key_size - n->shared);
    hs_put16(r + 46, n->shared);
    hs_put16(r + 48, n->data_size);
    memcpy(r + HS_INSERT_HEAD, n->key, n->key_size);
    memcpy(r + HS_INSERT_HEAD + n->key_size, n->data, n->data_size);
}

#endif
