/* Text for JSON and CSV. Readable reference: jsonl_py.py. Source: RFC 8259, 7; RFC 4180, 2. */
#ifndef HOTSPLIT_JSONL_H
#define HOTSPLIT_JSONL_H

#include <stddef.h>
#include <stdint.h>

/* 0: as it is; 'u': \u00xx; else the letter of the short escape. */
static uint8_t hs_escape_of(uint8_t c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return c < 0x20 ? 'u' : 0;
    }
}

/* Write n bytes of UTF-8 in quotes; `to` has room for 6 * n + 2 bytes. Returns the end. */
static uint8_t *hs_quote(uint8_t *to, const uint8_t *s, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;
    uint8_t escape;
    *to++ = '"';
    for (i = 0; i < n; i++) {
        escape = hs_escape_of(s[i]);
        if (!escape) {
            *to++ = s[i];
            continue;
        }
        *to++ = '\\';
        *to++ = escape;
        if (escape == 'u') {
            *to++ = '0';
            *to++ = '0';
            *to++ = (uint8_t)digits[s[i] >> 4];
            *to++ = (uint8_t)digits[s[i] & 15];
        }
    }
    *to++ = '"';
    return to;
}

/* Write n bytes of UTF-8 as a cell of CSV; `to` has room for 2 * n + 2 bytes. Returns the end. */
static uint8_t *hs_quote_cell(uint8_t *to, const uint8_t *s, size_t n)
{
    size_t i;
    *to++ = '"';
    for (i = 0; i < n; i++) {
        if (s[i] == '"')
            *to++ = '"';
        *to++ = s[i];
    }
    *to++ = '"';
    return to;
}

/* Write an integer; `to` has room for 20 bytes. Returns the end. */
static uint8_t *hs_decimal(uint8_t *to, int64_t value)
{
    uint8_t digits[20];
    int count = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0)
        *to++ = '-';
    do {
        digits[count++] = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (count)
        *to++ = digits[--count];
    return to;
}

#endif
