/* Replay of log records onto resident pages. See redo_py.py for the readable form of every function
 * and for the rules; log specification 3.3, 4 and 6.4. Plain C: knows nothing of Python.
 */
#ifndef HOTSPLIT_REDO_H
#define HOTSPLIT_REDO_H

#include "appendredo.h"

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
        page[37] &= 0xBF; /* whatever a scrub has done, there is data again */
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
    case 11:
        return hs_append_macro(c);
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
