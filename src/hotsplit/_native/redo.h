/* Replay of log records onto resident pages. See redo_py.py for the readable form of every function
 * and for the rules; log specification 3.3, 4 and 6.4. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_REDO_H
#define HOTSPLIT_REDO_H

#include "node.h"
#include "page.h"
#include "pagetable.h"
#include "session.h"

enum { HS_END, HS_RECORD, HS_MISS, HS_TOO_OLD, HS_TOO_NEW, HS_BEYOND, HS_DAMAGED, HS_NO_MEMORY };
#define HS_SEGMENT 4096u
#define HS_SEGMENT_HEADER 40u
#define HS_NO_DBTIME 0xFFFFFFFFFFFFFFFFu
#define HS_MAX_RECORD (1u << 28)
#define HS_MACROS 64

typedef struct {
    uint8_t attached;
    uint64_t position, dbtime;
    uint32_t required, objid;
} hs_database;

typedef struct { uint32_t procid; uint64_t dbtime; } hs_macro;

typedef struct {
    uint32_t page_size;
    hs_database databases[256];
    hs_session *sessions[65536];
    hs_macro macros[HS_MACROS];
    uint32_t macro_count;
    hs_table table;
    const uint8_t *data;                     /* what is walked */
    size_t at, end;
    uint64_t base;
    int framed;
    uint8_t *fragments;                      /* a record being put together */
    size_t fragment_used, fragment_total, fragment_room;
    uint64_t fragment_position;
    const uint8_t *record;                   /* the record at hand */
    size_t record_size;
    int pending, force_skip;
    uint64_t position;
    uint32_t miss_dbid, miss_pgno;
    const char *why;
    uint64_t records, bytes, redone, skipped;
    uint8_t scratch[HS_PAGE_MAX], line[HS_PAGE_MAX + 8];
} hs_core;

/* Size of the fixed part by type; 0 for a type that does not exist. */
static const uint16_t hs_fixed[102] = {
    1, 568, 18, 9, 1, 4, 4, 4, 8, 8, 7, 11, 11, 11, 43, 75, 7, 1, 18, 3,
    3, 4, 5, 1, 56, 48, 60, 102, 88, 50, 48, 52, 44, 50, 50, 44, 56, 54, 46, 51,
    0, 0, 22, 0, 0, 3, 5, 0, 46, 576, 26, 9, 26, 8, 7, 3, 0, 3, 68, 3,
    35, 5, 110, 96, 54, 96, 46, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, 3, 10, 4,
    26, 10, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 14, 58, 10, 20, 16, 2, 27, 18,
    11, 19,
};

/* Bytes of the record at p; 0 if it is of no known type or is longer than `room`. */
static size_t hs_record_size(const uint8_t *p, size_t room)
{
    uint64_t size;
    uint32_t type = p[0];
    if (type >= 102 || !hs_fixed[type] || hs_fixed[type] > room)
        return 0;
    size = hs_fixed[type];
    switch (type) {
    case 14: size += hs_get16(p + 40) + (p[42] & 4 ? 4 : 0); break;
    case 15: size += hs_get16(p + 72); break;
    case 16: size += hs_get16(p + 4); break;
    case 19: case 20: case 45: case 59: case 77: size += hs_get16(p + 1); break;
    case 22: case 46: case 61: size += hs_get16(p + 3); break;
    case 27: size += hs_get16(p + 100) + hs_get16(p + 96) + hs_get16(p + 98); break;
    case 28: size += hs_get16(p + 86); break;
    case 29: size += hs_get16(p + 44) + hs_get16(p + 46) + hs_get16(p + 48); break;
    case 30: case 31: case 37: case 39: case 93: size += hs_get16(p + 44) + hs_get16(p + 46); break;
    case 33: case 34: size += hs_get16(p + 44) & 0x7FFF; break;
    case 36: size += hs_get16(p + 44) + hs_get16(p + 46) + hs_get16(p + 54); break;
    case 38: case 48: size += hs_get16(p + 44); break;
    case 54: size += hs_get32(p + 3); break;
    case 60: size += hs_get16(p + 33); break;
    case 62:
        size += hs_get16(p + 100) + hs_get16(p + 96) + hs_get16(p + 98);
        size += hs_get32(p + 106);
        break;
    case 63: size += hs_get16(p + 86); size += hs_get32(p + 92); break;
    case 64: size += hs_get16(p + 52); break;
    case 65: size += hs_get32(p + 88); size += hs_get32(p + 92); break;
    case 76: size += hs_get16(p + 5); break;
    default:
        if ((type >= 67 && type <= 75) || (type >= 82 && type <= 91))
            size += hs_get32(p + 1);
    }
    return size <= room ? (size_t)size : 0;
}

static uint64_t hs_position(const hs_core *c, size_t at)
{
    size_t byte;
    if (!c->framed)
        return c->base + (uint64_t)(at / 512) * 0x10000u + at % 512;
    byte = at % HS_SEGMENT;
    return c->base + (uint64_t)(at / HS_SEGMENT) * 0x10000u + (byte <= HS_SEGMENT_HEADER ? 0 : byte);
}

static int hs_damaged(hs_core *c, const char *why)
{
    c->why = why;
    return HS_DAMAGED;
}

static hs_session *hs_get_session(hs_core *c, uint32_t procid)
{
    if (!c->sessions[procid])
        c->sessions[procid] = calloc(1, sizeof(hs_session));
    return c->sessions[procid];
}

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
        v->level = (uint8_t)level;
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
    uint32_t size = c->page_size, v = hs_versioned(h) ? HS_NODE_VERSION : 0, a = hs_get16(r + 44);
    uint32_t b = hs_get16(r + 46);
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
    return hs_remember(s, h, operation, h->rceid, h->level < s->level ? h->level : s->level,
                       hs_span(r + 56, key), HS_NONE, hs_span(r + 56 + key, data),
                       hs_span(r + 56 + key + data, image), 0, 0) ? HS_END : HS_NO_MEMORY;
}

static void hs_note(hs_database *db, uint64_t dbtime, uint32_t objid)
{
    if (dbtime > db->dbtime)
        db->dbtime = dbtime;
    if (objid > db->objid)
        db->objid = objid;
}

/* The page to change, NULL in *page if it has the change already; else why the record must wait. */
static int hs_needs_redo(hs_core *c, const hs_database *db, const hs_head_fields *h, uint8_t **page,
                         hs_slot **slot)
{
    uint64_t now;
    *page = NULL;
    *slot = hs_look(&c->table, hs_key(h->dbid, h->pgno));
    if (c->force_skip || (*slot && (*slot)->flags & HS_SKIP))
        return HS_END;
    if (!*slot) {
        c->miss_dbid = h->dbid;
        c->miss_pgno = h->pgno;
        return HS_MISS;
    }
    now = hs_get64((*slot)->data + 8);
    if (h->dbtime <= now)
        return (uint32_t)(c->position >> 32) > db->required ? HS_BEYOND : HS_END;
    if (h->before != HS_NO_DBTIME && h->before != now)
        return now < h->before ? HS_TOO_OLD : HS_TOO_NEW;
    *page = (*slot)->data;
    return HS_END;
}

static int hs_in_macro(const hs_core *c, uint32_t procid, uint64_t dbtime)
{
    uint32_t i;
    for (i = 0; i < c->macro_count; i++)
        if (c->macros[i].procid == procid && c->macros[i].dbtime == dbtime)
            return 1;
    return 0;
}

static int hs_node_record(hs_core *c)
{
    hs_head_fields h;
    hs_session *s;
    hs_database *db;
    hs_slot *slot;
    uint8_t *page;
    int code;
    hs_read_head(c->record, &h);
    s = hs_get_session(c, h.procid);
    if (!s)
        return HS_NO_MEMORY;
    if (s->known && h.type != 36 && c->macro_count && hs_in_macro(c, h.procid, h.dbtime))
        return HS_RECORD;
    db = &c->databases[h.dbid];
    if (!db->attached || c->position <= db->position)
        return HS_END;
    if (h.type == 36)
        return s->known ? hs_undo_info(c, s, &h) : HS_END;
    if (!s->known) {
        hs_note(db, h.dbtime, h.objid);
        return HS_END;
    }
    code = hs_needs_redo(c, db, &h, &page, &slot);
    if (code != HS_END)
        return code;
    code = hs_node_operation(c, s, &h, page);
    if (code != HS_END)
        return code;
    hs_note(db, h.dbtime, h.objid);
    if (page) {
        hs_put64(page + 8, h.dbtime);
        slot->flags |= HS_DIRTY;
        c->redone++;
    } else
        c->skipped++;
    return HS_END;
}

/* Carry out the record at hand. HS_END: done; HS_RECORD: it is the caller's. */
static int hs_carry_out(hs_core *c)
{
    const uint8_t *r = c->record;
    uint32_t type = r[0];
    hs_session *s;
    switch (type) {
    case 5: case 6: case 7: case 8: case 9: case 53:
        s = hs_get_session(c, hs_get16(r + 1));
        if (!s)
            return HS_NO_MEMORY;
        if (type == 6 || type == 9)
            hs_commit(s, type == 9 ? 0 : r[3]);
        else if (type == 7)
            hs_rollback(s, r[3]);
        else if (type != 5 || s->known) {    /* a nested begin does not make a session known */
            hs_begin(s, r[3] & 15u, r[3] >> 4);
            if (type != 5)
                s->trx = hs_get32(r + 4);
        }
        return HS_END;
    case 29: case 30: case 31: case 32: case 33: case 34: case 35: case 36: case 37: case 38:
    case 39: case 93:
        return hs_node_record(c);
    case 0: case 3: case 4: case 10: case 19: case 20: case 21: case 22: case 42: case 45: case 46:
    case 57: case 59: case 61: case 66: case 67: case 69: case 70: case 71: case 73: case 74:
    case 75: case 97: case 98: case 100: case 101:
        return HS_END;
    default:
        return type >= 82 && type <= 91 ? HS_END : HS_RECORD;
    }
}

/* Put fragments together. 1: a whole record is at hand; 0: go on; -1: see c->why. */
static int hs_take(hs_core *c, const uint8_t *r, size_t size, uint64_t position)
{
    size_t part;
    if (r[0] != 76 && r[0] != 77) {
        if (c->fragment_total && r[0] != 71) {
            c->fragment_total = 0;
            if (r[0] != 17 && r[0] != 51 && r[0] != 36) {
                c->position = position;
                c->why = "a record is not continued";
                return -1;
            }
        }
        c->position = position;
        c->record = r;
        c->record_size = size;
        return 1;
    }
    if (r[0] == 76) {
        size_t total = hs_get32(r + 1);
        if (total > HS_MAX_RECORD) {
            c->position = position;
            c->why = "a record that is too long";
            return -1;
        }
        c->fragment_total = total;
        c->fragment_position = position;
        c->fragment_used = 0;
    } else if (!c->fragment_total)
        return 0;
    part = size - (r[0] == 76 ? 7 : 3);
    if (c->fragment_used + part > c->fragment_room) {
        size_t room = 2 * (c->fragment_used + part);
        uint8_t *fragments = realloc(c->fragments, room);
        if (!fragments) {
            c->why = "memory is out";
            return -1;
        }
        c->fragments = fragments;
        c->fragment_room = room;
    }
    memcpy(c->fragments + c->fragment_used, r + size - part, part);
    c->fragment_used += part;
    if (c->fragment_used < c->fragment_total)
        return 0;
    c->fragment_total = 0;
    c->position = c->fragment_position;
    if (!c->fragment_used || hs_record_size(c->fragments, c->fragment_used) != c->fragment_used) {
        c->why = "a record in parts has a wrong size";
        return -1;
    }
    c->record = c->fragments;
    c->record_size = c->fragment_used;
    return 1;
}

/* Find the next whole record: 1 found, 0 the data ends, -1 see c->why. */
static int hs_next(hs_core *c)
{
    while (c->at < c->end) {
        size_t limit = c->end, size, start;
        int taken;
        if (c->framed) {
            size_t in = c->at % HS_SEGMENT;
            if (in < HS_SEGMENT_HEADER) {
                c->at += HS_SEGMENT_HEADER - in;
                in = HS_SEGMENT_HEADER;
            }
            limit = c->at - in + HS_SEGMENT;
            if (limit > c->end)
                limit = c->end;
            if (c->at >= limit)
                continue;
        }
        if (!c->data[c->at]) {
            c->at++;
            continue;
        }
        start = c->at;
        size = hs_record_size(c->data + start, limit - start);
        if (!size) {
            c->position = hs_position(c, start);
            c->why = "no record of a known type fits here";
            return -1;
        }
        c->at += size;
        taken = hs_take(c, c->data + start, size, hs_position(c, start));
        if (taken)
            return taken;
    }
    return 0;
}

static int hs_run(hs_core *c)
{
    for (;;) {
        int code;
        if (!c->pending) {
            c->why = NULL;
            code = hs_next(c);
            if (code <= 0)
                return code ? HS_DAMAGED : HS_END;
            c->pending = 1;
        }
        code = hs_carry_out(c);
        if (code > HS_RECORD)
            return code;
        c->pending = 0;
        c->force_skip = 0;
        c->records++;
        c->bytes += c->record_size;
        if (code == HS_RECORD)
            return code;
    }
}

static void hs_core_free(hs_core *c)
{
    uint32_t i;
    for (i = 0; i < 65536; i++)
        if (c->sessions[i])
            hs_session_free(c->sessions[i]);
    hs_table_free(&c->table);
    free(c->fragments);
    free(c);
}

#endif
