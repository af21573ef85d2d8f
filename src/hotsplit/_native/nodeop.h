/* Records of single nodes: the change of the page and the versions to undo it (log specification 4.6,
 * 6.5).
 */
#ifndef HOTSPLIT_NODEOP_H
#define HOTSPLIT_NODEOP_H

#include "redocore.h"

/* Give the node new data (which may lie in the core's scratch). */
static const char *hs_node_data(hs_core *c, hs_node *n, const uint8_t *data, uint32_t size,
                                uint32_t flags)
{
    if (size == n->data_size) {
        memmove((uint8_t *)n->data, data, size);
        return hs_set_flags(n->page, n->size, n->line, flags);
    }
    if (n->key_part + size > HS_PAGE_MAX)
        return "not enough free space on the page";
    memcpy(c->line, n->start, n->key_part);
    memcpy(c->line + n->key_part, data, size);
    return hs_replace(n->page, n->size, n->line, c->line, n->key_part + size, flags);
}

/* Apply a diff stream; the result goes to the core's scratch, its size to *size. */
static const char *hs_after_image(hs_core *c, const uint8_t *old, uint32_t old_size,
                                  const uint8_t *d, uint32_t d_size, int large, uint32_t *size)
{
    uint32_t at = 0, pos = 0, out = 0;
    while (at < d_size) {
        uint32_t head_size = large ? 3 : 2, offset, bits, width, fresh, gone;
        if (d_size - at < head_size + 1)
            return "a difference does not fit the data that it changes";
        offset = hs_get16(d + at);
        bits = large ? d[at + 2] : (offset >> 8) & 0xE0u;
        if (!large)
            offset &= 0x1FFFu;
        at += head_size;
        width = bits & 0x80u ? 2 : 1;
        if (d_size - at < width * (bits & 0x60u ? 1 : 2))
            return "a difference does not fit the data that it changes";
        fresh = width == 2 ? hs_get16(d + at) : d[at];
        at += width;
        gone = bits & 0x40u ? 0 : fresh;
        if (!(bits & 0x60u)) {
            gone = width == 2 ? hs_get16(d + at) : d[at];
            at += width;
        }
        if (offset < pos || offset + gone > old_size || fresh > d_size - at)
            return "a difference does not fit the data that it changes";
        if (out + (offset - pos) + fresh > c->page_size)
            return "a difference makes the data too long";
        memcpy(c->scratch + out, old + pos, offset - pos);
        out += offset - pos;
        memcpy(c->scratch + out, d + at, fresh);
        out += fresh;
        at += fresh;
        pos = offset + gone;
    }
    if (out + (old_size - pos) > c->page_size)
        return "a difference makes the data too long";
    memcpy(c->scratch + out, old + pos, old_size - pos);
    *size = out + old_size - pos;
    return NULL;
}

/* What a record of a node has in common with all others. */
typedef struct {
    uint32_t type, procid, dbid, pgno, level, iline, fpage, rceid, fdp, objid;
    uint64_t dbtime, before;
} hs_head_fields;

static void hs_read_head(const uint8_t *r, hs_head_fields *h)
{
    h->type = r[0];
    h->procid = hs_get16(r + 1);
    h->dbid = r[3];
    h->pgno = hs_get32(r + 4);
    h->dbtime = hs_get64(r + 8);
    h->before = hs_get64(r + 16);
    h->level = r[28];
    h->iline = hs_get16(r + 29) & 0x7FFFu;
    h->fpage = r[31];
    h->rceid = hs_get32(r + 32);
    h->fdp = hs_get32(r + 36);
    h->objid = hs_get32(r + 40);
}

typedef struct { const uint8_t *p; uint32_t size; } hs_bytes;

/* Remember an operation. The key is given in two parts. Returns 0 when memory is out. */
static int hs_remember(hs_session *s, const hs_head_fields *h, uint32_t operation, uint32_t rceid,
                       uint32_t level, hs_bytes key1, hs_bytes key2, hs_bytes data, hs_bytes image,
                       int64_t delta, uint32_t offset)
{
    uint8_t *at;
    hs_version *v;
    if (!s->level)
        return 1;
    if (h->fpage & 0x04u && operation != HS_PENDING && h->type != 36)
        data.size = 0;
    v = hs_new_version(s, rceid, (size_t)key1.size + key2.size + data.size + image.size, &at);
    if (!v)
        return 0;
    if (!at)
        return 1;
    if (!v->level)
        v->level = hs_level(s, level);
    v->fdp = h->fdp;
    v->objid = h->objid;
    v->operation = (uint8_t)operation;
    v->dbid = (uint8_t)h->dbid;
    v->unique = (h->fpage & 0x04u) != 0;
    v->key = key1.size + key2.size;
    v->data = data.size;
    v->image = image.size;
    v->delta = delta;
    v->offset = offset;
    memcpy(at, key1.p, key1.size);
    memcpy(at + key1.size, key2.p, key2.size);
    memcpy(at + v->key, data.p, data.size);
    memcpy(at + v->key + data.size, image.p, image.size);
    return 1;
}

static const hs_bytes HS_NONE = { (const uint8_t *)"", 0 };

static hs_bytes hs_span(const uint8_t *p, uint32_t size)
{
    hs_bytes b = { p, size };
    return b;
}

static int hs_versioned(const hs_head_fields *h) { return h->fpage & 0x01u; }

/* Add to a little-endian integer in a node's data. */
static const char *hs_node_add(hs_node *n, int64_t delta, uint32_t offset, uint32_t width)
{
    uint8_t *at = (uint8_t *)n->data + offset;
    if (offset + width > n->data_size)
        return "a delta beyond the node's data";
    if (width == 4)
        hs_put32(at, hs_get32(at) + (uint32_t)delta);
    else
        hs_put64(at, hs_get64(at) + (uint64_t)delta);
    return NULL;
}

static int hs_undo(hs_core *c, hs_session *s, const uint8_t *r, const hs_head_fields *h, hs_node *n)
{
    uint32_t key_size = hs_get16(r + 44), operation = hs_get16(r + 48);
    hs_version *v = hs_find(s, h->rceid);
    const uint8_t *key = r + 51, *bytes = v ? s->arena + v->at : NULL;
    const char *why = NULL;
    if (n) {
        if (n->shared + n->suffix_size != key_size || memcmp(n->prefix, key, n->shared)
            || memcmp(n->suffix, key + n->shared, n->suffix_size))
            return hs_damaged(c, "the node to be undone has another key");
        if (operation == HS_INSERT)
            why = hs_set_flags(n->page, n->size, n->line, n->flags | HS_NODE_DELETED);
        else if (operation == HS_FLAG_DELETE)
            why = hs_set_flags(n->page, n->size, n->line, n->flags & ~HS_NODE_DELETED);
        else if (!v || v->operation != operation)
            why = "there is no before image for an operation to be undone";
        else if (operation == HS_REPLACE)
            why = hs_node_data(c, n, bytes + v->key + v->data, v->image, n->flags);
        else
            why = hs_node_add(n, (int64_t)(0 - (uint64_t)v->delta), v->offset,
                              operation == HS_DELTA ? 4 : 8);
        if (why)
            return hs_damaged(c, why);
    }
    if (v)
        v->operation = HS_GONE;
    return HS_END;
}

/* Make versions, and change the page if there is one. */
static int hs_node_operation(hs_core *c, hs_session *s, const hs_head_fields *h, uint8_t *page)
{
    const uint8_t *r = c->record;
    uint32_t size = c->page_size, v = hs_versioned(h) ? HS_NODE_VERSION : 0;
    uint32_t a = c->record_size < 46 ? 0 : hs_get16(r + 44); /* a delete ends before them */
    uint32_t b = c->record_size < 48 ? 0 : hs_get16(r + 46);
    const char *why = NULL;
    int ok = 1;
    hs_node n;
    if (page && h->type != 29 && h->type != 38) {
        why = hs_read_node(page, size, h->iline, &n);
        if (why)
            return hs_damaged(c, why);
    }
    switch (h->type) {
    case 29: {
        uint32_t prefix = b, key = a + b, data = hs_get16(r + 48), head = prefix ? 4 : 2;
        if (v)
            ok = hs_remember(s, h, HS_INSERT, h->rceid, h->level, hs_span(r + 50, key), HS_NONE,
                             hs_span(r + 50 + key, data), HS_NONE, 0, 0);
        if (page) {
            const uint8_t *p;
            uint32_t length;
            uint8_t *at;
            why = hs_prefix(page, size, &p, &length);
            if (!why && (prefix > length || memcmp(p, r + 50, prefix)))
                why = "the record's key prefix is not the page's";
            if (!why && head + a + data > HS_PAGE_MAX)
                why = "not enough free space on the page";
            if (!why)
                why = hs_insert_gap(page, size, h->iline + hs_reserved(page), head + a + data,
                                    v | (prefix ? HS_NODE_COMPRESSED : 0), &at);
            if (why)
                break;
            {   /* the first two bytes hold flags on large pages */
                uint32_t bits = size > HS_SMALL_MAX ? hs_get16(at) & 0xE000u : 0;
                if (prefix) {
                    hs_put16(at, prefix | bits);
                    hs_put16(at + 2, a);
                } else
                    hs_put16(at, a | bits);
            }
            memcpy(at + head, r + 50 + prefix, a + data);
        }
        break;
    }
    case 30: case 31: {
        uint32_t start = h->type == 30 ? 48 : 52;
        if (v)
            ok = hs_remember(s, h, HS_INSERT, h->rceid, h->level, hs_span(r + start, a), HS_NONE,
                             hs_span(r + start + a, b), HS_NONE, 0, 0);
        if (!page) {
            if (v && h->type == 31)
                ok = ok && hs_remember(s, h, HS_PENDING, hs_get32(r + 48), h->level, HS_NONE,
                                       HS_NONE, HS_NONE, HS_NONE, 0, 0);
            break;
        }
        if (!(n.flags & HS_NODE_DELETED)) {
            why = "the node is not flagged as deleted";
            break;
        }
        if (h->type == 30) {
            why = hs_set_flags(page, size, n.line, (n.flags & ~HS_NODE_DELETED) | v);
            break;
        }
        if (v)
            ok = ok && hs_remember(s, h, HS_REPLACE, hs_get32(r + 48), h->level,
                                   hs_span(n.prefix, n.shared), hs_span(n.suffix, n.suffix_size),
                                   HS_NONE, hs_span(n.data, n.data_size), 0, 0);
        why = hs_node_data(c, &n, r + start + a, b, (n.flags & ~HS_NODE_DELETED) | v);
        break;
    }
    case 33: case 34: {
        uint32_t fresh = hs_get16(r + 48), got = a & 0x7FFFu;
        const uint8_t *data = r + 50;
        if (!page) {
            if (v)
                ok = hs_remember(s, h, HS_PENDING, h->rceid, h->level, HS_NONE, HS_NONE, HS_NONE,
                                 HS_NONE, 0, 0);
            break;
        }
        if (n.data_size != b) {
            why = "the node's data is not as long as the record says";
            break;
        }
        if (v)
            ok = hs_remember(s, h, HS_REPLACE, h->rceid, h->level, hs_span(n.prefix, n.shared),
                             hs_span(n.suffix, n.suffix_size), HS_NONE,
                             hs_span(n.data, n.data_size), 0, 0);
        if (h->type == 34) {
            why = hs_after_image(c, n.data, n.data_size, data, got, (a & 0x8000u) != 0, &got);
            data = c->scratch;
        }
        if (!why && got != fresh)
            why = "the new data is not as long as the record says";
        if (!why)
            why = hs_node_data(c, &n, data, got, n.flags | v);
        break;
    }
    case 32:
        if (v)
            ok = page ? hs_remember(s, h, HS_FLAG_DELETE, h->rceid, h->level,
                                    hs_span(n.prefix, n.shared), hs_span(n.suffix, n.suffix_size),
                                    hs_span(n.data, n.data_size), HS_NONE, 0, 0)
                      : hs_remember(s, h, HS_PENDING, h->rceid, h->level, HS_NONE, HS_NONE, HS_NONE,
                                    HS_NONE, 0, 0);
        if (page)
            why = hs_set_flags(page, size, n.line, n.flags | HS_NODE_DELETED | v);
        break;
    case 35:
        if (page)
            why = hs_delete(page, size, n.line);
        break;
    case 37: case 93: {
        int wide = h->type == 93;
        int64_t delta = wide ? (int64_t)hs_get64(r + 48) : (int32_t)hs_get32(r + 48);
        uint32_t offset = hs_get16(r + (wide ? 56 : 52)), start = wide ? 58 : 54;
        if (v)
            ok = hs_remember(s, h, wide ? HS_DELTA64 : HS_DELTA, h->rceid, h->level,
                             hs_span(r + start, a), HS_NONE, hs_span(r + start + a, b), HS_NONE,
                             delta, offset);
        if (page) {
            why = hs_node_add(&n, delta, offset, wide ? 8 : 4);
            if (!why)
                why = hs_set_flags(page, size, n.line, n.flags | v);
        }
        break;
    }
    case 38:
        if (page)
            why = hs_count(page) ? hs_replace(page, size, 0, r + 46, a, 0)
                                 : hs_insert(page, size, 0, r + 46, a, 0);
        break;
    case 39:
        return hs_undo(c, s, r, h, page ? &n : NULL);
    }
    if (!ok)
        return HS_NO_MEMORY;
    return why ? hs_damaged(c, why) : HS_END;
}

static int hs_undo_info(hs_core *c, hs_session *s, const hs_head_fields *h)
{
    const uint8_t *r = c->record;
    uint32_t key = hs_get16(r + 44), data = hs_get16(r + 46), operation = hs_get16(r + 48);
    uint32_t image = operation == HS_REPLACE ? hs_get16(r + 54) : 0;
    if (operation != HS_REPLACE && operation != HS_FLAG_DELETE)
        return hs_damaged(c, "a before image of no operation that has one");
    if (!s->level)
        return HS_END;
    return hs_remember(s, h, operation, h->rceid, h->level,
                       hs_span(r + 56, key), HS_NONE, hs_span(r + 56 + key, data),
                       hs_span(r + 56 + key + data, image), 0, 0) ? HS_END : HS_NO_MEMORY;
}

#endif
