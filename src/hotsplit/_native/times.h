/* Times as applications store them in 64 bits. Readable reference: batch_py.py.
 * Source: format specification 7.2 (DateTime). */
#ifndef HOTSPLIT_TIMES_H
#define HOTSPLIT_TIMES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { HT_OLE = 0, HT_FILETIME = 1 };

#define HT_FILETIME_LEAST 0x0080000000000000  /* 1829; as a double 1e-306 */
#define HT_FILETIME_END 0x0400000000000000    /* 2514 */
#define HT_1601 116444736000000000            /* 100 ns from 1601 to 1970 */
#define HT_1899 25569                         /* days from 1899-12-30 to 1970 */

static int ht_is_filetime(int64_t bits)
{
    return bits >= HT_FILETIME_LEAST && bits < HT_FILETIME_END;
}

/* Microseconds since 1970 of days since 1899-12-30; returns 0, or -1 outside years 1 to 9999. */
static int ht_from_ole(double days, int64_t *us)
{
    double whole;
    if (!(days >= -693593 && days < 2958466))
        return -1;
    whole = trunc(days);
    *us = ((int64_t)whole - HT_1899) * 86400000000 + llround(fabs(days - whole) * 86400e6);
    return 0;
}

/* Nanoseconds since 1970 of 100 ns since 1601; returns 0, or -1 where they do not fit 64 bits. */
static int ht_from_filetime(int64_t bits, int64_t *ns)
{
    if (bits < HT_1601 - INT64_MAX / 100 || bits > HT_1601 + INT64_MAX / 100)
        return -1;
    *ns = (bits - HT_1601) * 100;
    return 0;
}

/* Convert one value to microseconds (HT_OLE) or nanoseconds (HT_FILETIME) since 1970, whichever of
 * the two is stored. Returns 0, or -1 where there is no such time. */
static int ht_convert(const uint8_t *p, int form, int64_t *to)
{
    int64_t bits;
    double days;
    memcpy(&bits, p, 8);
    memcpy(&days, p, 8);
    if (form == HT_OLE) {
        if (!ht_is_filetime(bits))
            return ht_from_ole(days, to);
        *to = bits / 10 - HT_1601 / 10;
        return 0;
    }
    if (bits >= 0 && bits < 0x3E00000000000000)
        return ht_from_filetime(bits, to);
    if (ht_from_ole(days, to) || *to > INT64_MAX / 1000 || *to < INT64_MIN / 1000)
        return -1;
    *to *= 1000;
    return 0;
}

#endif
