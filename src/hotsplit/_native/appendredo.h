/* A page more at the end of a tree: the most frequent macro, carried out in one go. See
 * appendredo_py.py for the readable form; log specification 4.8, 4.9.
 */
#ifndef HOTSPLIT_APPENDREDO_H
#define HOTSPLIT_APPENDREDO_H

#include "nodeop.h"
#include "recordwalk.h"

#define HS_SPLIT_HEAD 110u
#define HS_SCRUBBED 0x4000u
#define HS_NEW_RECORD 0x800u
#define HS_FLUSH_TYPE 0x18000u

static void hs_note(hs_database *db, uint64_t dbtime, uint32_t objid)
{
    if (dbtime > db->dbtime)
        db->dbtime = dbtime;
    if (objid > db->objid)
        db->objid = objid;
}

static int hs_in_macro(const hs_core *c, uint32_t procid, uint64_t dbtime)
{
    uint32_t i;
    for (i = 0; i < c->macro_count; i++)
        if (c->macros[i].procid == procid && c->macros[i].dbtime == dbtime)
            return 1;
    return 0;
}

static void hs_stamp(hs_slot *slot, uint64_t dbtime)
{
    hs_put64(slot->data + 8, dbtime);
    hs_put32(slot->data + 36, hs_get32(slot->data + 36) & ~HS_SCRUBBED);
    slot->flags |= HS_DIRTY;
}

/* Copy the next record, which must be of this type. Returns its size, 0 for another one. */
static size_t hs_copy_next(hs_core *c, uint32_t type, uint8_t *into, size_t room)
{
    if (hs_next(c) <= 0 || c->record[0] != type || c->record_size > room)
        return 0;
    memcpy(into, c->record, c->record_size);
    return c->record_size;
}

/* A page that a record finds as it was when the record was made, else NULL. */
static hs_slot *hs_untouched(hs_core *c, const uint8_t *r)
{
    hs_slot *slot = hs_look(&c->table, hs_key(r[3], hs_get32(r + 4)));
    uint64_t before = hs_get64(r + 16), now;
    if (!slot || slot->flags & HS_SKIP)
        return NULL;
    now = hs_get64(slot->data + 8);
    return hs_get64(r + 8) > now && (before == HS_NO_DBTIME || before == now) ? slot : NULL;
}

/* Make a line of a key that may share the page's prefix and a child's number; return its size. */
static uint32_t hs_separator(uint8_t *line, const uint8_t *prefix, uint32_t prefix_size,
                             const uint8_t *key, uint32_t key_size, uint32_t pgno, uint32_t *flags)
{
    uint32_t most = prefix_size < key_size ? prefix_size : key_size, shared = 0, at = 2;
    while (shared < most && prefix[shared] == key[shared])
        shared++;
    if (shared <= 2)
        shared = 0;
    if (shared) {
        hs_put16(line, shared);
        at = 4;
    }
    hs_put16(line + at - 2, key_size - shared);
    memcpy(line + at, key + shared, key_size - shared);
    at += key_size - shared;
    hs_put32(line + at, pgno);
    *flags = shared ? HS_NODE_COMPRESSED : 0;
    return at + 4;
}

static uint32_t hs_at_most(int32_t value, uint32_t most)
{
    return value < 0 ? 0 : (uint32_t)value > most ? most : (uint32_t)value;
}

/* Make the new page, with one node. It fits. */
static void hs_make_page(hs_core *c, uint8_t *page, uint32_t pgno, const hs_head_fields *h)
{
    const uint8_t *s = c->split, *r = c->insert;
    uint32_t size = c->page_size, kept = hs_get32(page + 36) & HS_FLUSH_TYPE;
    uint32_t key = hs_get16(r + 44) + hs_get16(r + 46), data = hs_get16(r + 48);
    uint8_t *at;
    memset(page, 0, size);
    hs_put64(page + 8, h->dbtime);
    hs_put32(page + 16, hs_get32(s + 4));
    hs_put32(page + 24, hs_get32(s + 64));
    hs_put32(page + 36, hs_get32(s + 76) | HS_NEW_RECORD | kept);
    if (hs_head(size) > 40)
        hs_put32(page + 64, pgno);
    hs_put16(page + 28, size - hs_head(size));
    hs_insert_gap(page, size, 0, 0, 0, &at);
    hs_insert_gap(page, size, 1, 2 + key + data, hs_versioned(h) ? HS_NODE_VERSION : 0, &at);
    hs_put16(at, size > HS_SMALL_MAX ? (key & 0x1FFFu) | (hs_get16(at) & 0xE000u) : key);
    memcpy(at + 2, r + 50, key + data);
    hs_put16(page + 30, hs_at_most((int16_t)hs_get16(s + 86), hs_free(page)));
}

/* Tell whether the records read ahead are such a macro: the kind of split, and what belongs to it. */
static int hs_is_append(const hs_core *c, uint32_t procid, uint64_t dbtime)
{
    const uint8_t *records[3], *s = c->split;
    uint32_t i;
    records[0] = c->parent;
    records[1] = s;
    records[2] = c->insert;
    for (i = 0; i < 3; i++)
        if (hs_get16(records[i] + 1) != procid || hs_get64(records[i] + 8) != dbtime
            || records[i][3] != s[3])
            return 0;
    return hs_get16(c->record + 1) == procid && hs_get64(c->record + 3) == dbtime
        && !hs_get32(c->parent + 32) && hs_get32(s + 32) && !hs_get32(s + 36) && s[68] == 2
        && s[69] == 1 && hs_get16(s + 70) == hs_get16(s + 72)
        && hs_get16(s + 72) + 1u == hs_get16(s + 74) && hs_get32(s + 92) == 0xFFFFFFFFu;
}

/* Carry out the macro behind the MacroBegin at hand. HS_RECORD: it is the caller's. */
static int hs_try_append(hs_core *c)
{
    uint32_t procid = hs_get16(c->record + 1), size = c->page_size, at, child, need, flags, length;
    uint64_t dbtime = hs_get64(c->record + 3), read = c->record_size;
    const uint8_t *s = c->split, *prefix;
    hs_slot *above, *source, *target;
    hs_session *session = c->sessions[procid];
    hs_database *db;
    hs_head_fields h;
    hs_line t;
    size_t sizes[3];
    if (c->force_skip || !session || !session->known || hs_in_macro(c, procid, dbtime))
        return HS_RECORD;
    sizes[0] = hs_copy_next(c, 62, c->parent, sizeof c->parent);
    sizes[1] = sizes[0] ? hs_copy_next(c, 62, c->split, sizeof c->split) : 0;
    sizes[2] = sizes[1] ? hs_copy_next(c, 29, c->insert, sizeof c->insert) : 0;
    if (!sizes[2] || hs_next(c) <= 0 || c->record[0] != 12 || !hs_is_append(c, procid, dbtime))
        return HS_RECORD;
    hs_read_head(c->insert, &h);
    db = &c->databases[h.dbid];
    above = hs_untouched(c, c->parent);
    source = hs_untouched(c, s);
    if (!db->attached || c->position <= db->position || !above || !source || above == source)
        return HS_RECORD;
    if (hs_count(source->data) < hs_reserved(source->data)
        || hs_count(source->data) - hs_reserved(source->data) != hs_get16(s + 72))
        return HS_RECORD;
    if (hs_find_child(above->data, size, s + HS_SPLIT_HEAD, hs_get16(s + 100), &at, &child)
        || child != hs_get32(s + 4) || hs_prefix(above->data, size, &prefix, &length))
        return HS_RECORD;
    need = 2u + hs_get16(c->insert + 44) + hs_get16(c->insert + 46) + hs_get16(c->insert + 48);
    if (hs_head(size) + need + 8 > size)
        return HS_RECORD;
    target = hs_look(&c->table, hs_key(h.dbid, hs_get32(s + 32)));
    if (!target) {
        c->miss_dbid = h.dbid;
        c->miss_pgno = hs_get32(s + 32);
        return HS_NEW;
    }
    if (target->flags & HS_SKIP || target == above || target == source
        || hs_get64(target->data + 8) >= dbtime)
        return HS_RECORD;
    need = hs_separator(c->line, prefix, length, s + HS_SPLIT_HEAD, hs_get16(s + 100), child, &flags);
    at += hs_reserved(above->data);
    if (hs_locate(above->data, size, at, &t))
        return HS_RECORD;
    hs_put32(above->data + t.start + t.length - 4, hs_get32(s + 32));
    if (hs_insert(above->data, size, at, c->line, need, flags)) {
        hs_put32(above->data + t.start + t.length - 4, child);
        return HS_RECORD;
    }
    hs_stamp(above, dbtime);
    if (hs_versioned(&h)) {
        uint32_t key = hs_get16(c->insert + 44) + hs_get16(c->insert + 46);
        if (!hs_remember(session, &h, HS_INSERT, h.rceid, h.level, hs_span(c->insert + 50, key),
                         HS_NONE, hs_span(c->insert + 50 + key, hs_get16(c->insert + 48)), HS_NONE,
                         0, 0))
            return HS_NO_MEMORY;
    }
    hs_make_page(c, target->data, hs_get32(s + 32), &h);
    hs_stamp(target, dbtime);
    hs_put32(source->data + 20, hs_get32(s + 32));
    hs_put16(source->data + 30, hs_at_most((int16_t)hs_get16(s + 84), hs_free(source->data)));
    hs_stamp(source, dbtime);
    hs_note(db, dbtime, hs_get32(c->parent + 64));
    hs_note(db, dbtime, hs_get32(s + 64));
    hs_note(db, dbtime, h.objid);
    c->records += 4;
    c->bytes += read + sizes[0] + sizes[1] + sizes[2];
    return HS_END;
}

/* The same; what was read ahead for nothing is read again. */
static int hs_append_macro(hs_core *c)
{
    const uint8_t *record = c->record;
    size_t at = c->at, size = c->record_size;
    uint64_t position = c->position;
    int code;
    if (c->record == c->fragments)           /* reading on would overwrite it */
        return HS_RECORD;
    code = hs_try_append(c);
    if (code == HS_END)
        return code;
    c->record = record;
    c->record_size = size;
    c->at = at;
    c->position = position;
    c->fragment_total = 0;
    c->why = NULL;
    return code;
}

#endif
