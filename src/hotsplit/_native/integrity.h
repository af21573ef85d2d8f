/* Checking the pages of one tree: their structure, the order of their nodes, the links between
 * them, and what the leaves hold. Readable reference: integrity_py.py.
 * Source: format specification 2 to 4 and 13.1 P and T. Every offset is checked before it is used;
 * a page whose tags do not hold together is reported and not read any further. */
#ifndef HOTSPLIT_INTEGRITY_H
#define HOTSPLIT_INTEGRITY_H

#include "collect.h"
#include "lvcheck.h"

enum {
    HS_C_TAGS = 1, HS_C_LINE_END, HS_C_LINE_OVERLAP, HS_C_FREE, HS_C_UNCOMMITTED, HS_C_NO_LINES,
    HS_C_FLAGS_MIXED, HS_C_FLAGS_REPAIR, HS_C_FLAGS_PREINIT, HS_C_NODE, HS_C_NO_KEY, HS_C_NO_DATA,
    HS_C_OBJID, HS_C_DBTIME, HS_C_ROOT_FLAG, HS_C_KIND, HS_C_EMPTY_FLAG, HS_C_NOT_LEAF,
    HS_C_NO_CHILDREN, HS_C_CHILD_SIZE, HS_C_INTERNAL_FLAGS, HS_C_INTERNAL_ORDER,
    HS_C_INTERNAL_LINKS, HS_C_NULL_KEY, HS_C_ABOVE, HS_C_BELOW, HS_C_LAST_KEY, HS_C_PREVIOUS,
    HS_C_NEXT, HS_C_EMPTY_LEAF, HS_C_ORDER, HS_C_KEY_LENGTH, HS_C_PREFIX_LONG, HS_C_PREFIX_ONE,
    HS_C_LEAF_ABOVE, HS_C_SPACE_VERSION, HS_C_TREE_GONE
};
enum { HS_ROOT = 1, HS_LEAF = 2, HS_ABOVE = 4, HS_EMPTY = 8, HS_REPAIR = 16, HS_SPACE = 0x20, HS_INDEX = 0x40,
       HS_LONG = 0x80, HS_NON_UNIQUE = 0x400, HS_NEW_RECORD = 0x800, HS_PREINIT = 0x20000,
       HS_FDP_DELETE = 0x40000, HS_KINDS = 0x7E0 };
/* What the leaves hold. */
enum { HS_NOTHING, HS_LIST, HS_RECORDS, HS_LV_NODES, HS_INDEX_ENTRIES };

#define HS_KEY_ROOM 16384u

typedef struct {
    const uint8_t *data;         /* NULL: there is no bound */
    uint32_t length;
} hs_bytes;

#define HS_COMPARISONS 2

/* How the entries of an index are compared, up to the first without a ledger. */
typedef struct {
    int compare[HS_COMPARISONS];
    hs_ledger *ledger[HS_COMPARISONS];
} hs_entries;

typedef void (*hs_listed)(void *to, hs_place place, const uint8_t *key, uint32_t key_length,
                          const uint8_t *data, uint32_t length);

typedef struct {
    uint32_t size, objid, kind, key_most;
    uint64_t dbtime;             /* no page may be newer */
    uint32_t last_leaf, next;    /* the leaf before, and the one it says comes next */
    int chained;                 /* whether these two are known */
    int damaged;                 /* something could not be read: what was seen is not all */
    uint64_t leaves, internals, nodes, deleted, versioned;
    int content;
    hs_rows *rows;
    hs_long_values *long_values;
    hs_entries entries;
    hs_listed listed;
    void *listed_to;
    hs_report report;
    void *to;
    uint8_t keys[2][HS_KEY_ROOM];
} hs_tree;

static void hs_tree_report(hs_tree *t, int code, uint32_t pgno, int32_t node, uint64_t a, uint64_t b)
{
    hs_place place;
    place.pgno = pgno;
    place.node = node;
    t->report(t->to, code, place, a, b);
}

/* A hole in what can be read: the next leaf cannot be held against the one before. */
static void hs_tree_lose(hs_tree *t)
{
    t->damaged = 1;
    t->chained = 0;
}

/* Mark bytes from..to of the page as used; 1 if one of them was already. */
static int hs_mark_used(uint64_t *used, uint32_t from, uint32_t to)
{
    uint64_t twice = 0;
    uint32_t word = from >> 6, last = to >> 6;
    uint64_t mask = ~0ull << (from & 63);
    for (; word < last; word++, mask = ~0ull) {
        twice |= used[word] & mask;
        used[word] |= mask;
    }
    if (to & 63) {
        mask &= ~0ull >> (64 - (to & 63));
        twice |= used[word] & mask;
        used[word] |= mask;
    }
    return twice != 0;
}

/* The tags and the account of the space (2.4 to 2.6). Returns 0, or a code with *line set. */
static int hs_check_tags(const hs_page *p, int32_t *line)
{
    uint64_t used[HS_PAGE_MAX / 64];
    uint32_t room = p->size - p->head, free_bytes = hs_free(p->data), mic = hs_mic(p->data), total, i;
    *line = -1;
    total = 4 * p->count;
    if (total > room || mic > room - total || free_bytes > room)
        return HS_C_TAGS;
    if (hs_get16(p->data + 30) > free_bytes)
        return HS_C_UNCOMMITTED;
    memset(used, 0, mic / 8 + 8);
    for (i = 0; i < p->count; i++) {
        hs_line t = hs_tag(p->data, p->size, i);
        *line = (int32_t)i - (int32_t)p->first;
        total += t.length;
        if (!t.length && i >= p->first)
            return HS_C_NODE;
        if (!t.length)
            continue;
        if (t.start + t.length > mic)
            return HS_C_LINE_END;
        if (hs_mark_used(used, t.start, t.start + t.length))
            return HS_C_LINE_OVERLAP;
    }
    *line = -1;
    return total + free_bytes == room ? 0 : HS_C_FREE;
}

/* Returns 0, or a code: flags that no page in use can have. */
static int hs_check_flags(const hs_page *p)
{
    if (p->flags & HS_PREINIT)
        return HS_C_FLAGS_PREINIT;
    if (!p->count)
        return HS_C_NO_LINES;
    if (p->flags & HS_INDEX && p->flags & HS_LONG)
        return HS_C_FLAGS_MIXED;
    return p->flags & HS_REPAIR ? HS_C_FLAGS_REPAIR : 0;
}

static void hs_set_prefix(hs_page *p)
{
    hs_line t = hs_tag(p->data, p->size, 0);
    p->prefix = p->head + t.start;
    p->prefix_length = t.length;
    if (!(p->flags & HS_ROOT))
        return;
    p->prefix_length = 0;
    if (p->flags & HS_SPACE && t.length > 16) { /* behind the split buffer */
        p->prefix += 16;
        p->prefix_length = t.length - 16;
    }
}

/* Tell which separated values are needed to make the keys of the records on a leaf. */
static void hs_leaf_wants(const hs_tree *t, const uint8_t *data, hs_wanted tell, void *to)
{
    hs_page p;
    hs_node n;
    hs_record rec;
    int32_t line;
    uint32_t i;
    if (hs_open_page(&p, data, t->size) || hs_check_flags(&p) || hs_check_tags(&p, &line) ||
        !(p.flags & HS_LEAF))
        return;
    hs_set_prefix(&p);
    for (i = p.first; i < p.count; i++) {
        if (hs_find_node(&p, i, &n) || n.flags & HS_NODE_DELETED || !n.length)
            continue;
        hs_open(&rec, p.data + n.data, n.length, t->rows->large, !(p.flags & HS_NEW_RECORD));
        hs_row_wants(t->rows, &rec, tell, to);
    }
}

/* Open a page and check it as one of this tree; 0 if its nodes can be read. */
static int hs_enter_page(hs_tree *t, hs_page *p, const uint8_t *data, uint32_t pgno, int is_root)
{
    int32_t line = -1;
    int code = hs_open_page(p, data, t->size) ? HS_C_TAGS : hs_check_flags(p);
    if (!code)
        code = hs_check_tags(p, &line);
    if (code) {
        hs_tree_report(t, code, pgno, line, p->count, 0);
        return -1;
    }
    hs_set_prefix(p);
    if (hs_get64(data + 8) > t->dbtime)
        hs_tree_report(t, HS_C_DBTIME, pgno, -1, hs_get64(data + 8), t->dbtime);
    if (p->objid != t->objid) {
        hs_tree_report(t, HS_C_OBJID, pgno, -1, p->objid, t->objid);
        return -1;
    }
    if (!(p->flags & HS_ROOT) != !is_root) {
        hs_tree_report(t, HS_C_ROOT_FLAG, pgno, -1, p->flags, 0);
        if (!is_root)
            return -1;
    }
    if ((p->flags & HS_KINDS) != t->kind)
        hs_tree_report(t, HS_C_KIND, pgno, -1, p->flags & HS_KINDS, t->kind);
    if (is_root && p->flags & HS_FDP_DELETE)
        hs_tree_report(t, HS_C_TREE_GONE, pgno, -1, p->flags, 0);
    if (p->flags & HS_EMPTY)
        hs_tree_report(t, HS_C_EMPTY_FLAG, pgno, -1, p->flags, 0);
    return 0;
}

/* Find a node and put its whole key to `key`; 0, or a code. */
static int hs_read_node(const hs_tree *t, const hs_page *p, uint32_t i, hs_node *n, uint8_t *key,
                        uint32_t *length)
{
    n->shared = 0;
    if (hs_find_node(p, p->first + i, n))
        return n->shared > p->prefix_length ? HS_C_PREFIX_LONG : HS_C_NODE;
    if (n->flags & HS_NODE_COMPRESSED && n->shared == 1)
        return HS_C_PREFIX_ONE;
    *length = n->shared + n->key_length;
    if (*length > t->key_most)
        return HS_C_KEY_LENGTH;
    memcpy(key, p->data + p->prefix, n->shared);
    memcpy(key + n->shared, p->data + n->key, n->key_length);
    return 0;
}

/* Make the entries of the records on a leaf without checking these. */
static void hs_leaf_enter(hs_tree *t, const uint8_t *data)
{
    hs_page p;
    hs_node n;
    int32_t line;
    uint32_t i, length;
    if (hs_open_page(&p, data, t->size) || hs_check_flags(&p) || hs_check_tags(&p, &line) ||
        !(p.flags & HS_LEAF))
        return;
    hs_set_prefix(&p);
    for (i = 0; p.first + i < p.count; i++)
        if (!hs_read_node(t, &p, i, &n, t->keys[0], &length) && !(n.flags & HS_NODE_DELETED) &&
            n.length)
            hs_row_enter(t->rows, t->keys[0], length, p.data + n.data, n.length,
                         !(p.flags & HS_NEW_RECORD));
}

static int hs_compare(const uint8_t *a, uint32_t a_length, const uint8_t *b, uint32_t b_length)
{
    uint32_t n = a_length < b_length ? a_length : b_length;
    int c = memcmp(a, b, n);
    return c ? c : a_length < b_length ? -1 : a_length > b_length;
}

/* Compare a separator with a key followed by data. */
static int hs_compare_separator(hs_bytes s, const uint8_t *key, uint32_t key_length,
                                const uint8_t *data, uint32_t length)
{
    int c;
    if (s.length <= key_length) {
        c = memcmp(s.data, key, s.length);
        return c ? c : s.length < key_length + length ? -1 : 0;
    }
    c = memcmp(s.data, key, key_length);
    return c ? c : hs_compare(s.data + key_length, s.length - key_length, data, length);
}

/* An internal page between the keys `low` and `high`; the number of its children, 0 if unusable. */
static uint32_t hs_check_internal(hs_tree *t, hs_page *p, const uint8_t *data, uint32_t pgno,
                                  int is_root, hs_bytes low, hs_bytes high)
{
    uint32_t i, count, length = 0, before = 0;
    hs_node n;
    int code;
    t->internals++;
    if (hs_enter_page(t, p, data, pgno, is_root))
        return 0;
    count = p->count > p->first ? p->count - p->first : 0;
    if (!count) {
        hs_tree_report(t, HS_C_NO_CHILDREN, pgno, -1, 0, 0);
        return 0;
    }
    if (p->previous || p->next)
        hs_tree_report(t, HS_C_INTERNAL_LINKS, pgno, -1, p->previous, p->next);
    for (i = 0; i < count; i++) {
        uint8_t *key = t->keys[i & 1];
        code = hs_read_node(t, p, i, &n, key, &length);
        if (!code && n.length != 4)
            code = HS_C_CHILD_SIZE;
        if (code) {
            hs_tree_report(t, code, pgno, (int32_t)i, code == HS_C_CHILD_SIZE ? n.length : 0, 0);
            return 0;
        }
        if (n.flags & (HS_NODE_DELETED | HS_NODE_VERSION))
            hs_tree_report(t, HS_C_INTERNAL_FLAGS, pgno, (int32_t)i, n.flags, 0);
        if (!length && (i + 1 < count || high.data)) {
            hs_tree_report(t, HS_C_NULL_KEY, pgno, (int32_t)i, 0, 0);
            return 0;
        }
        if (i && length && hs_compare(t->keys[(i - 1) & 1], before, key, length) >= 0)
            hs_tree_report(t, HS_C_INTERNAL_ORDER, pgno, (int32_t)i, 0, 0);
        if (!i && length && low.data && hs_compare(key, length, low.data, low.length) < 0)
            hs_tree_report(t, HS_C_BELOW, pgno, 0, 0, 0);
        before = length;
    }
    if (high.data ? hs_compare(t->keys[(count - 1) & 1], length, high.data, high.length) != 0
                  : length != 0)
        hs_tree_report(t, HS_C_LAST_KEY, pgno, (int32_t)count - 1, 0, 0);
    return count;
}

static void hs_take_entry(const hs_entries *e, const uint8_t *key, uint32_t key_length,
                          const uint8_t *data, uint32_t length, hs_place place)
{
    uint32_t i;
    for (i = 0; i < HS_COMPARISONS && e->ledger[i]; i++) {
        hs_ledger *l = e->ledger[i];
        uint64_t hash = hs_entry_hash(e->compare[i], key, key_length, data, length);
        if (!l->watched)
            hs_enter(l, HS_ENTRIES, hash, 1);
        else if (hs_is_watched(l, hash))
            l->found(l->to, HS_ENTRIES, key, e->compare[i] == HS_BY_KEY ? key_length : 0, data,
                     length, 1, place);
    }
}

static int hs_take_node(hs_tree *t, const hs_page *p, const hs_node *n, const uint8_t *key,
                        uint32_t key_length, hs_place place)
{
    const uint8_t *data = p->data + n->data;
    switch (t->content) {
    case HS_LIST:
        t->listed(t->listed_to, place, key, key_length, data, n->length);
        return 0;
    case HS_RECORDS:
        return hs_check_row(t->rows, key, key_length, data, n->length,
                            !(p->flags & HS_NEW_RECORD), place);
    case HS_LV_NODES:
        return hs_lv_node(t->long_values, key, key_length, data, n->length, place);
    case HS_INDEX_ENTRIES:
        hs_take_entry(&t->entries, key, key_length, data, n->length, place);
        return 0;
    }
    return 0;
}

/* The order of a leaf's nodes and its place between two separators, and each node's content. */
static void hs_check_nodes(hs_tree *t, const hs_page *p, uint32_t pgno, hs_bytes low, hs_bytes high)
{
    uint32_t i, count = p->count - p->first, length = 0, before = 0, before_data = 0, before_size = 0;
    int unique = !(t->kind & HS_NON_UNIQUE) || t->kind & HS_SPACE, code, order;
    hs_node n;
    hs_place place;
    place.pgno = pgno;
    for (i = 0; i < count; i++) {
        uint8_t *key = t->keys[i & 1];
        place.node = (int32_t)i;
        code = hs_read_node(t, p, i, &n, key, &length);
        if (!code && !length)
            code = HS_C_NO_KEY;
        if (!code && !n.length)
            code = HS_C_NO_DATA;
        if (code) {
            hs_tree_report(t, code, pgno, place.node, 0, 0);
            t->damaged = 1;
            return;
        }
        if (i) {
            order = hs_compare(t->keys[(i - 1) & 1], before, key, length);
            if (!order && !unique)
                order = hs_compare(p->data + before_data, before_size, p->data + n.data, n.length);
            if (order >= 0)
                hs_tree_report(t, HS_C_ORDER, pgno, place.node, 0, 0);
        } else if (low.data && hs_compare_separator(low, key, length, p->data + n.data,
                                                    unique ? 0 : n.length) > 0) {
            hs_tree_report(t, HS_C_BELOW, pgno, 0, 0, 0);
        }
        t->nodes++;
        t->versioned += n.flags & HS_NODE_VERSION;
        if (n.flags & HS_NODE_VERSION && t->kind & HS_SPACE)
            hs_tree_report(t, HS_C_SPACE_VERSION, pgno, place.node, n.flags, 0);
        if (n.flags & HS_NODE_DELETED)
            t->deleted++;
        else if (hs_take_node(t, p, &n, key, length, place))
            t->damaged = 1;
        before = length;
        before_data = n.data;
        before_size = n.length;
    }
    if (count && high.data &&
        hs_compare_separator(high, t->keys[(count - 1) & 1], length, p->data + n.data,
                             unique ? 0 : n.length) <= 0)
        hs_tree_report(t, HS_C_ABOVE, pgno, (int32_t)count - 1, 0, 0);
}

static void hs_check_links(hs_tree *t, const hs_page *p, uint32_t pgno)
{
    if (t->chained && t->last_leaf && t->next != pgno)
        hs_tree_report(t, HS_C_NEXT, t->last_leaf, -1, t->next, pgno);
    if (t->chained && p->previous != t->last_leaf)
        hs_tree_report(t, HS_C_PREVIOUS, pgno, -1, p->previous, t->last_leaf);
    t->last_leaf = pgno;
    t->next = p->next;
    t->chained = 1;
}

/* A page that must be a leaf between the keys `low` and `high`. */
static void hs_check_leaf(hs_tree *t, const uint8_t *data, uint32_t pgno, int is_root, hs_bytes low,
                          hs_bytes high)
{
    hs_page p;
    t->leaves++;
    if (hs_enter_page(t, &p, data, pgno, is_root)) {
        hs_tree_lose(t);
        return;
    }
    if (!(p.flags & HS_LEAF)) {
        hs_tree_report(t, HS_C_NOT_LEAF, pgno, -1, p.flags, 0);
        hs_tree_lose(t);
        return;
    }
    if (p.flags & HS_ABOVE)
        hs_tree_report(t, HS_C_LEAF_ABOVE, pgno, -1, p.flags, 0);
    hs_check_links(t, &p, pgno);
    if (p.count <= p.first) {
        if (!is_root)
            hs_tree_report(t, HS_C_EMPTY_LEAF, pgno, -1, 0, 0);
        return;
    }
    hs_check_nodes(t, &p, pgno, low, high);
}

/* After the last leaf: the chain must end here. */
static void hs_finish_tree(hs_tree *t)
{
    if (t->chained && t->next)
        hs_tree_report(t, HS_C_NEXT, t->last_leaf, -1, t->next, 0);
    if (t->content == HS_LV_NODES && !t->damaged)
        hs_lv_close(t->long_values);
}

#endif
