/* The state of a replay: databases, sessions, pages, and where it stands in the data. */
#ifndef HOTSPLIT_REDOCORE_H
#define HOTSPLIT_REDOCORE_H

#include "node.h"
#include "page.h"
#include "pagetable.h"
#include "session.h"


enum { HS_END, HS_RECORD, HS_MISS, HS_TOO_OLD, HS_TOO_NEW, HS_BEYOND, HS_DAMAGED, HS_NEW,
       HS_NO_MEMORY };
#define HS_SEGMENT 4096u
#define HS_SEGMENT_HEADER 40u
#define HS_NO_DBTIME 0xFFFFFFFFFFFFFFFFu
#define HS_MAX_RECORD (1u << 28)
#define HS_MACROS 64
#define HS_AHEAD 2048u

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
    uint8_t parent[HS_AHEAD], split[HS_AHEAD], insert[HS_PAGE_MAX + HS_AHEAD];  /* read ahead */
} hs_core;


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

#endif
