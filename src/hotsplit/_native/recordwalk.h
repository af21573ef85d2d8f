/* From the bytes of a log to whole records: sizes, segments, fragments (log specification 3.3, 4.1). */
#ifndef HOTSPLIT_RECORDWALK_H
#define HOTSPLIT_RECORDWALK_H

#include "redocore.h"

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
    if (part) /* an empty part can be the first: there is no room yet */
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

#endif
