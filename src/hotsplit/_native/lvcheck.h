/* Checking the nodes of a long-value tree, in order. Readable reference: lvcheck_py.py.
 * Source: format specification 8.1 to 8.3, 13.1 L. */
#ifndef HOTSPLIT_LVCHECK_H
#define HOTSPLIT_LVCHECK_H

#include "rowcheck.h"

enum {
    HS_C_LV_KEY = 200, HS_C_LV_ROOT, HS_C_LV_NO_ROOT, HS_C_LV_OFFSET, HS_C_LV_GAP, HS_C_LV_SHORT,
    HS_C_LV_CHUNK, HS_C_LV_ORPHAN, HS_C_LV_HALF, HS_C_LV_EXPAND, HS_C_LV_WIDE
};

#define HS_HALF_DELETED 0xFFFFFFFFu

typedef struct {
    uint32_t chunk;              /* bytes of a full chunk */
    int wide_allowed, wide_seen;
    uint64_t lid;                /* the long value that is open, 0 at the beginning */
    uint32_t size, seen;         /* its bytes, and how many of them came by */
    int encrypted, loose;        /* loose: damaged, orphan or half deleted; not followed */
    hs_place root;
    hs_ledger *references;
    hs_rows *tools;              /* for decompression and reports */
} hs_long_values;

static void hs_lv_report(hs_long_values *v, int code, hs_place place, uint64_t a, uint64_t b)
{
    v->tools->report(v->tools->to, code, place, a, b);
}

static uint64_t hs_big_endian(const uint8_t *p, uint32_t size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | *p++;
    return value;
}

/* At the end of a long value or of the tree: is it complete? */
static void hs_lv_close(hs_long_values *v)
{
    if (v->lid && !v->loose && v->seen != v->size)
        hs_lv_report(v, HS_C_LV_SHORT, v->root, v->lid, v->seen);
    v->loose = 1;
}

static void hs_lv_count(hs_ledger *l, uint64_t lid, uint32_t references, hs_place place)
{
    uint64_t hash = hs_hash_number(lid);
    if (!l->watched)
        hs_enter(l, HS_ENTRIES, hash, references == HS_HALF_DELETED ? 0 : references);
    else if (hs_is_watched(l, hash))
        l->found(l->to, HS_ENTRIES, (const uint8_t *)&lid, 8, (const uint8_t *)&lid, 0, references,
                 place);
}

static int hs_lv_root(hs_long_values *v, uint64_t lid, const uint8_t *data, uint32_t length,
                      hs_place place)
{
    uint32_t references;
    hs_lv_close(v);
    v->lid = lid;
    v->root = place;
    v->seen = 0;
    if (length != 8 && length != 9) {
        hs_lv_report(v, HS_C_LV_ROOT, place, lid, length);
        return -1;
    }
    references = hs_get32(data);
    v->size = hs_get32(data + 4);
    v->encrypted = length == 9 && data[8] & 1;
    v->loose = !references || references == HS_HALF_DELETED;
    if (v->loose)
        hs_lv_report(v, references ? HS_C_LV_HALF : HS_C_LV_ORPHAN, place, lid, 0);
    hs_lv_count(v->references, lid, references, place);
    return 0;
}

static int hs_lv_chunk(hs_long_values *v, uint64_t lid, uint32_t offset, const uint8_t *data,
                       uint32_t length, hs_place place)
{
    uint32_t left, expected, size = 0;
    if (lid != v->lid) {
        hs_lv_close(v);
        v->lid = lid;
        hs_lv_report(v, HS_C_LV_NO_ROOT, place, lid, offset);
        return -1;
    }
    if (v->loose)
        return 0;
    v->loose = 1; /* until this chunk is found sound */
    if (offset % v->chunk) {
        hs_lv_report(v, HS_C_LV_OFFSET, place, lid, offset);
        return -1;
    }
    if (offset != v->seen || offset >= v->size) {
        hs_lv_report(v, HS_C_LV_GAP, place, lid, offset);
        return -1;
    }
    left = v->size - offset;
    expected = left < v->chunk ? left : v->chunk;
    if (length > expected && !v->encrypted) {
        hs_lv_report(v, HS_C_LV_CHUNK, place, lid, length);
        return -1;
    }
    v->loose = 0;
    v->seen += expected;
    if (length < expected && !v->encrypted &&
        (hs_try_expand(v->tools, data, length, expected, &size) || size != expected))
        hs_lv_report(v, HS_C_LV_EXPAND, place, lid, offset);
    return 0;
}

/* Check one live node; 0 if it is sound. */
static int hs_lv_node(hs_long_values *v, const uint8_t *key, uint32_t key_length,
                      const uint8_t *data, uint32_t length, hs_place place)
{
    int wide = (key_length == 8 || key_length == 12) && key[0] & 0x80;
    uint32_t size = wide ? 8 : 4;
    if (key_length != size && key_length != size + 4) {
        hs_lv_close(v);
        hs_lv_report(v, HS_C_LV_KEY, place, key_length, 0);
        return -1;
    }
    if (wide && !v->wide_allowed && !v->wide_seen) {
        v->wide_seen = 1;
        hs_lv_report(v, HS_C_LV_WIDE, place, hs_big_endian(key, 8), 0);
    }
    if (key_length == size)
        return hs_lv_root(v, hs_big_endian(key, size), data, length, place);
    return hs_lv_chunk(v, hs_big_endian(key, size), (uint32_t)hs_big_endian(key + size, 4), data,
                       length, place);
}

#endif
