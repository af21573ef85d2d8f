/* The way from the root of a tree to a leaf in memory, and what new nodes do to leaves. See seek_py.py
 * for the readable form; format specification 4.2, 4.3. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_SEEK_H
#define HOTSPLIT_SEEK_H

#include "insert.h"
#include "redocore.h"

#define HS_DEEPEST 16
#define HS_MOST_PLANNED 256              /* what is in the way ends a plan, often a short one */
#define HS_LEAF_FLAG 2u

/* Where a bookmark belongs. bounded: the lowest bookmark of the next leaf lies in the core's `line`. */
typedef struct {
    hs_slot *slot;
    uint32_t pgno, line, bound_size;
    int exact, bounded;
} hs_place;

/* The separator behind a child, if it has one, bounds what belongs below. 0: it cannot be. */
static int hs_take_bound(hs_core *c, uint8_t *page, uint32_t at, hs_place *p)
{
    hs_node n;
    if (at + hs_reserved(page) + 1 >= hs_count(page))
        return 1;
    if (hs_read_node(page, c->page_size, at, &n) || n.shared + n.suffix_size > HS_PAGE_MAX)
        return 0;
    if (!(n.shared + n.suffix_size))
        return 1;
    memcpy(c->line, n.prefix, n.shared);
    memcpy(c->line + n.shared, n.suffix, n.suffix_size);
    p->bound_size = n.shared + n.suffix_size;
    p->bounded = 1;
    return 1;
}

/* Find the leaf of a node, and its line there. 0: a page is not in memory, or damaged. */
static int hs_seek(hs_core *c, uint32_t dbid, uint32_t root, const hs_new *n, int unique, hs_place *p)
{
    const uint8_t *mark = n->key;
    uint32_t size = n->key_size, depth, at, pgno = root;
    p->bounded = 0;
    if (n->key_size > HS_PAGE_MAX || (!unique && n->data_size > HS_PAGE_MAX - n->key_size))
        return 0;
    if (!unique) {
        memcpy(c->scratch, n->key, n->key_size);
        memcpy(c->scratch + n->key_size, n->data, n->data_size);
        mark = c->scratch;
        size += n->data_size;
    }
    for (depth = 0; depth < HS_DEEPEST; depth++) {
        uint8_t *page;
        p->slot = hs_look(&c->table, hs_key(dbid, pgno));
        if (!p->slot || !p->slot->data)
            return 0;
        page = p->slot->data;
        p->pgno = pgno;
        if (page[36] & HS_LEAF_FLAG)
            return !hs_find_node(page, c->page_size, n->key, n->key_size, unique ? NULL : n->data,
                                 n->data_size, &p->line, &p->exact);
        if (hs_find_child(page, c->page_size, mark, size, &at, &pgno)
                || !hs_take_bound(c, page, at, p))
            return 0;
    }
    return 0;
}

/* Plan nodes from number `first` on for a leaf. Returns how many; 0, too, if the page is damaged. */
static uint32_t hs_plan_leaf(hs_core *c, const hs_common *common, hs_new *nodes, uint32_t first,
                             uint32_t count, const hs_place *p)
{
    int fits, unique = (common->flags & HS_UNIQUE) != 0;
    uint32_t i;
    hs_leaf leaf;
    if (hs_open_leaf_for(&leaf, p->slot->data, c->page_size, unique))
        return 0;
    for (i = first; i < count; i++) {
        hs_new *n = &nodes[i];
        if (p->bounded && hs_compare_mark(n, c->line, p->bound_size, unique) >= 0)
            break;
        if (i > first && !hs_is_above(n, n - 1, unique))
            break;
        if (hs_place_new(&leaf, n, &fits))
            return 0;
        if (!fits)
            break;
        n->pgno = p->pgno;
        n->before = i > first ? common->dbtime + i - 1 : hs_get64(p->slot->data + 8);
    }
    return i - first;
}

/* Plan nodes, leaf by leaf. Returns how many, up to the first one that takes more than an insert. */
static uint32_t hs_plan(hs_core *c, const hs_common *common, uint32_t root, hs_new *nodes, uint32_t count)
{
    int unique = (common->flags & HS_UNIQUE) != 0;
    uint32_t done = 0, i, got;
    hs_place p;
    while (done < count) {
        if (!hs_seek(c, common->dbid, root, &nodes[done], unique, &p) || p.slot->flags & HS_PLANNED)
            break;
        got = hs_plan_leaf(c, common, nodes, done, count, &p);
        if (!got)
            break;
        p.slot->flags |= HS_PLANNED;
        done += got;
        if (done == count || !p.bounded
                || hs_compare_mark(&nodes[done], c->line, p.bound_size, unique) < 0)
            break;
    }
    for (i = 0; i < done; i++) {
        hs_slot *slot = hs_look(&c->table, hs_key(common->dbid, nodes[i].pgno));
        if (slot)
            slot->flags &= ~(uint32_t)HS_PLANNED;
    }
    return done;
}

#endif
