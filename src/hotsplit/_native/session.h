/* Sessions and the version store of replay. See redo_py.py; log specification 4.13 and 6.5.
 *
 * Bytes of versions lie in one arena a session, which empties when its transaction ends, so no
 * record costs an allocation. All sizes begin small: hostile logs can open 65536 sessions.
 */
#ifndef HOTSPLIT_SESSION_H
#define HOTSPLIT_SESSION_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HS_PENDING = 0, HS_INSERT = 1, HS_REPLACE = 2, HS_FLAG_DELETE = 3, HS_DELTA = 4,
       HS_DELTA64 = 9, HS_GONE = 255 };
#define HS_LEVELS 32

typedef struct {
    uint32_t rceid, fdp, objid;
    uint8_t operation, level, dbid, unique;
    uint32_t key, data, image;               /* sizes; bytes follow each other at `at` */
    size_t at;
    int64_t delta;
    uint32_t offset;
} hs_version;

typedef struct {
    uint8_t known, level;
    uint32_t trx;
    hs_version *versions;
    uint32_t count, room;
    uint32_t first_of_level[HS_LEVELS];      /* number of the first version that can have the level */
    uint8_t *arena;
    size_t used, size;
    uint32_t *map;                           /* rceid -> number + 1, open addressing */
    uint32_t map_room;
} hs_session;

static void hs_session_free(hs_session *s)
{
    free(s->versions);
    free(s->arena);
    free(s->map);
    free(s);
}

static void hs_session_clear(hs_session *s)
{
    s->count = 0;
    s->used = 0;
    if (s->map)
        memset(s->map, 0, 4 * (size_t)s->map_room);
}

static inline uint32_t hs_mix(uint32_t x) { return (x * 0x9E3779B1u) >> 7; }

static inline void hs_map_put(hs_session *s, uint32_t number)
{
    uint32_t i = hs_mix(s->versions[number].rceid) & (s->map_room - 1);
    while (s->map[i])
        i = (i + 1) & (s->map_room - 1);
    s->map[i] = number + 1;
}

/* Keep the map half empty. Returns 0 when memory is out. */
static int hs_map_grow(hs_session *s)
{
    uint32_t room = s->map_room ? s->map_room * 2 : 16, n;
    uint32_t *map = calloc(room, 4);
    if (!map)
        return 0;
    free(s->map);
    s->map = map;
    s->map_room = room;
    for (n = 0; n < s->count; n++)
        hs_map_put(s, n);
    return 1;
}

/* The live version with this number, or NULL. */
static hs_version *hs_find(hs_session *s, uint32_t rceid)
{
    uint32_t i;
    if (!s->count)
        return NULL;
    for (i = hs_mix(rceid) & (s->map_room - 1); s->map[i]; i = (i + 1) & (s->map_room - 1)) {
        hs_version *v = &s->versions[s->map[i] - 1];
        if (v->rceid == rceid && v->operation != HS_GONE)
            return v;
    }
    return NULL;
}

/* The level of a version: one that the session has, whatever its record says. */
static inline uint8_t hs_level(const hs_session *s, uint32_t level)
{
    return (uint8_t)(level > s->level ? s->level : level ? level : 1);
}

/* Room for `need` bytes of a version; the number of the version, or -1 when memory is out. */
static hs_version *hs_new_version(hs_session *s, uint32_t rceid, size_t need, uint8_t **at)
{
    hs_version *v = hs_find(s, rceid);
    if (v && v->operation != HS_PENDING) {
        *at = NULL;                          /* there already: duplicates are ignored */
        return v;
    }
    if (!s->arena || s->used + need > s->size) {  /* a version of no bytes has a place, too */
        size_t size = (s->size ? s->size * 2 : 256) + need;
        uint8_t *arena = realloc(s->arena, size);
        if (!arena)
            return NULL;
        s->arena = arena;
        s->size = size;
    }
    if (!v) {
        if (s->count == s->room) {
            uint32_t room = s->room ? s->room * 2 : 4;
            hs_version *versions = realloc(s->versions, room * sizeof *versions);
            if (!versions)
                return NULL;
            s->versions = versions;
            s->room = room;
        }
        if (2 * (s->count + 1) > s->map_room && !hs_map_grow(s))
            return NULL;
        v = &s->versions[s->count];
        memset(v, 0, sizeof *v);
        v->rceid = rceid;
        v->level = 0;
        s->count++;
        hs_map_put(s, s->count - 1);
    }
    v->at = s->used;
    *at = s->arena + s->used;
    s->used += need;
    return v;
}

static void hs_begin(hs_session *s, uint32_t level, uint32_t opened)
{
    uint32_t top = level + opened, l;
    if (top > 30)
        top = 30;
    s->known = 1;
    for (l = level + 1; l <= top; l++)
        s->first_of_level[l] = s->count;
    s->level = (uint8_t)top;
}

static void hs_commit(hs_session *s, uint32_t level)
{
    uint32_t n;
    if (level >= s->level && level)
        return;
    if (!level) {
        s->level = 0;
        hs_session_clear(s);
        return;
    }
    for (n = s->first_of_level[level + 1]; n < s->count; n++)
        if (s->versions[n].level > level)
            s->versions[n].level = (uint8_t)level;
    s->level = (uint8_t)level;
}

static void hs_rollback(hs_session *s, uint32_t levels)
{
    uint32_t level = levels > s->level ? 0 : s->level - levels, n;
    if (!level) {
        s->level = 0;
        hs_session_clear(s);
        return;
    }
    for (n = s->first_of_level[level + 1]; n < s->count; n++)
        if (s->versions[n].level > level)
            s->versions[n].operation = HS_GONE;
    s->level = (uint8_t)level;
}

#endif
