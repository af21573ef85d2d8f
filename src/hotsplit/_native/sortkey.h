/* Sort keys of Unicode text of most characters. All rules, and all other text (contractions, single
 * Hangul letters, very long text): hotsplit/ese/format/collation.py, which is asked where there is no
 * key here.
 * Source: format specification 10.4. */
#ifndef HOTSPLIT_SORTKEY_H
#define HOTSPLIT_SORTKEY_H

#include <stdint.h>
#include <string.h>

enum { HS_IGNORE_CASE = 1, HS_IGNORE_NONSPACE = 2, HS_IGNORE_SYMBOLS = 4,
       HS_LINGUISTIC_CASE = 0x10, HS_STRING_SORT = 0x1000, HS_IGNORE_KANA = 0x10000,
       HS_IGNORE_WIDTH = 0x20000 };
enum { HS_THREE_BYTES = 1, HS_REVERSED = 0x10 };
/* Alphabetic weights of kana marks that take up the kana before. */
enum { HS_REPEAT, HS_PROLONG };
/* Script members with rules of their own. */
enum { HS_S_IGNORED, HS_S_MARK, HS_S_EXPANSION, HS_S_KANA, HS_S_JAMO, HS_S_EXTENSION,
       HS_S_PUNCTUATION, HS_S_LAST_SYMBOL = 12 };

#define HS_TEXT_UNITS 1024u      /* also the most weights of a text */
#define HS_EXPANSIONS_DEEP 4
#define HS_NO_WEIGHT 0xFFFFFFFFu

/* Give the sort key of text, as the rules make it; 0, or -1 if it is not known. */
typedef int (*hs_ask_key)(void *to, void *order, const uint8_t *data, uint32_t length,
                          const uint8_t **out, uint32_t *out_length);

/* The order of the text of an index. */
typedef struct {
    const uint32_t *weights;     /* of unit u: weights[pages[u >> 8] + (u & 0xFF)] */
    const uint32_t *pages;       /* 256 of them; each has 256 weights */
    const uint32_t *expansions;  /* two units each, or what is none */
    uint32_t expansion_count;
    uint32_t flags, locale;      /* of LCMapString; of the locale */
    uint32_t last_unit;          /* the last one whose weight is known for this version */
    int digits, contracted;      /* digits have these weights; sequences may have one weight */
    void *object;
} hs_order;

/* The levels of one key. */
typedef struct {
    uint8_t primary[3 * HS_TEXT_UNITS], diacritics[HS_TEXT_UNITS + 1], cases[HS_TEXT_UNITS];
    uint8_t special[4 * HS_TEXT_UNITS];
    uint8_t kana[4][HS_TEXT_UNITS]; /* small ones, marks, kinds, widths */
    uint32_t primary_length, diacritic_count, case_count, special_length, kana_count;
} hs_levels;

static uint32_t hs_weight(const hs_order *o, uint32_t unit)
{
    return unit > 0xFFFF ? HS_NO_WEIGHT : o->weights[o->pages[unit >> 8] + (unit & 0xFF)];
}

static uint32_t hs_script(uint32_t weight)
{
    return weight >> 8 & 0xFF;
}

static uint32_t hs_case_mask(uint32_t flags)
{
    uint32_t mask = 0x3F;
    if (flags & (HS_IGNORE_CASE | HS_LINGUISTIC_CASE))
        mask &= ~0x18u;
    if (flags & HS_IGNORE_WIDTH)
        mask &= ~0x01u;
    if (flags & HS_IGNORE_KANA)
        mask &= ~0x20u;
    return mask;
}

static int hs_plain_weight(hs_levels *l, const hs_order *o, uint32_t weight, uint32_t mask)
{
    uint32_t script = hs_script(weight), one_case = weight >> 24 & 0x3F;
    if (l->case_count == HS_TEXT_UNITS ||
        (o->flags & HS_LINGUISTIC_CASE && one_case != 0x02 && one_case != 0x12))
        return -1;
    l->primary[l->primary_length++] = (uint8_t)script;
    l->primary[l->primary_length++] = (uint8_t)weight;
    l->cases[l->case_count++] = (uint8_t)(one_case & mask);
    if ((script >= 0xA9 && script <= 0xAF) ||
        (o->locale & HS_THREE_BYTES && script >= 0xC0 && script <= 0xEF))
        l->primary[l->primary_length++] = (uint8_t)(weight >> 16);
    else
        l->diacritics[l->diacritic_count++] = (uint8_t)(weight >> 16);
    return 0;
}

/* A character that stands for several others, whose last one may do so again. */
static int hs_expanded_weight(hs_levels *l, const hs_order *o, uint32_t weight, uint32_t mask)
{
    uint32_t i, first;
    for (i = 0; i < HS_EXPANSIONS_DEEP; i++) {
        if (weight >> 16 >= o->expansion_count)
            return -1;
        first = hs_weight(o, o->expansions[2 * (weight >> 16)]);
        weight = hs_weight(o, o->expansions[2 * (weight >> 16) + 1]);
        if (first == HS_NO_WEIGHT || weight == HS_NO_WEIGHT || hs_plain_weight(l, o, first, mask))
            return -1;
        if (hs_script(weight) != HS_S_EXPANSION)
            return hs_plain_weight(l, o, weight, mask);
    }
    return -1;
}

static uint32_t hs_unit(const uint8_t *text, uint32_t i)
{
    return text[2 * i] | (uint32_t)text[2 * i + 1] << 8;
}

/* The weight of the kana that a mark takes up, 0 if there is none. */
static uint32_t hs_kana_before(const hs_order *o, const uint8_t *text, uint32_t i)
{
    while (i--) {
        uint32_t weight = hs_weight(o, hs_unit(text, i)), script = hs_script(weight);
        if (weight == HS_NO_WEIGHT)
            return 0;
        if (script == HS_S_KANA && (weight & 0xFF) > HS_PROLONG)
            return weight;
        if (script > HS_S_MARK && script != HS_S_KANA)
            return 0;
    }
    return 0;
}

static int hs_kana_weight(hs_levels *l, const hs_order *o, const uint8_t *text, uint32_t i,
                          uint32_t weight, uint32_t mask)
{
    uint32_t alphabetic = weight & 0xFF, one_case = (weight >> 24 & mask) | 0xC4, n = l->kana_count;
    uint32_t kind = one_case, mark = 3, before;
    if (l->case_count == HS_TEXT_UNITS)
        return -1;
    if (alphabetic <= HS_PROLONG) {
        before = hs_kana_before(o, text, i);
        if (!before)
            return -1;
        kind = (before >> 24 & mask) | 0xC4;
        mark = alphabetic == HS_REPEAT ? 4 : 5;
        one_case = alphabetic == HS_REPEAT ? kind : one_case;
        alphabetic = before & (alphabetic == HS_REPEAT ? 0xFF : 0x87);
    }
    l->primary[l->primary_length++] = 0x22;
    l->primary[l->primary_length++] = (uint8_t)alphabetic;
    l->kana[0][n] = (uint8_t)(kind & 0xC6);
    l->kana[1][n] = (uint8_t)mark;
    l->kana[2][n] = (uint8_t)(kind & 0xE4);
    l->kana[3][n] = (uint8_t)(one_case & 0xC5);
    l->kana_count++;
    l->diacritics[l->diacritic_count++] = (uint8_t)(weight >> 16);
    l->cases[l->case_count++] = 2;
    return 0;
}

static int hs_mark_weight(hs_levels *l, const hs_order *o, uint32_t weight)
{
    uint32_t mark = weight >> 16 & 0xFF;
    if (o->flags & HS_IGNORE_NONSPACE)
        return 0;
    if (!l->diacritic_count) {
        l->diacritics[l->diacritic_count++] = (uint8_t)mark;
        return 0;
    }
    if (l->diacritics[l->diacritic_count - 1] + mark > 0xFF)
        return -1;
    l->diacritics[l->diacritic_count - 1] = (uint8_t)(l->diacritics[l->diacritic_count - 1] + mark);
    return 0;
}

static int hs_punctuation_weight(hs_levels *l, const hs_order *o, uint32_t weight, uint32_t mask)
{
    uint32_t place = 0xFFFF - l->primary_length / 2, one_case = weight >> 24 & 0x3F;
    uint8_t *at = l->special + l->special_length;
    if (o->flags & HS_LINGUISTIC_CASE && one_case != 0x02 && one_case != 0x12)
        return -1;
    at[0] = (uint8_t)(place >> 8);
    at[1] = (uint8_t)place;
    at[2] = (uint8_t)weight;
    at[3] = (uint8_t)((one_case & mask) | (weight >> 16 & 0x1F) << 3);
    l->special_length += 4;
    return 0;
}

/* Add one character; -1 if its weight is not known here. */
static int hs_add_weight(hs_levels *l, const hs_order *o, const uint8_t *text, uint32_t i,
                         uint32_t mask)
{
    uint32_t unit = hs_unit(text, i), weight, script;
    if (unit > o->last_unit || (!o->digits && unit >= '0' && unit <= '9'))
        return -1;
    weight = hs_weight(o, unit);
    script = hs_script(weight);
    if (weight == HS_NO_WEIGHT || (o->contracted && weight >> 30) || script == HS_S_JAMO ||
        script == HS_S_EXTENSION)
        return -1;
    if (script == HS_S_IGNORED)
        return 0;
    if (script == HS_S_MARK)
        return hs_mark_weight(l, o, weight);
    if (script == HS_S_EXPANSION)
        return hs_expanded_weight(l, o, weight, mask);
    if (script == HS_S_KANA)
        return hs_kana_weight(l, o, text, i, weight, mask);
    if (script <= HS_S_LAST_SYMBOL && o->flags & HS_IGNORE_SYMBOLS)
        return 0;
    if (script == HS_S_PUNCTUATION && !(o->flags & HS_STRING_SORT))
        return hs_punctuation_weight(l, o, weight, mask);
    return hs_plain_weight(l, o, weight, mask);
}

static void hs_put_level(uint8_t *out, uint32_t room, uint32_t *at, const uint8_t *level,
                         uint32_t length, int end)
{
    uint32_t fits = length < room - *at ? length : room - *at;
    memcpy(out + *at, level, fits);
    *at += fits;
    if (*at < room)
        out[(*at)++] = (uint8_t)end;
}

static void hs_reverse(uint8_t *bytes, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count / 2; i++) {
        uint8_t one = bytes[i];
        bytes[i] = bytes[count - 1 - i];
        bytes[count - 1 - i] = one;
    }
}

static uint32_t hs_trimmed(const uint8_t *level, uint32_t count)
{
    while (count && level[count - 1] <= 2)
        count--;
    return count;
}

/* The level of kana: parts without what they end with if it says nothing. */
static void hs_put_kana(const hs_levels *l, int nonspace, uint8_t *out, uint32_t room, uint32_t *at)
{
    static const uint8_t plain[4] = {0xC6, 3, 0xE4, 0xC5}, ends[4] = {0xFF, 2, 0xFF, 0xFF};
    uint32_t part, count;
    for (part = 0; part < 4; part++) {
        count = l->kana_count;
        while (count && l->kana[part][count - 1] == plain[part])
            count--;
        hs_put_level(out, room, at, l->kana[part], part < 2 && !nonspace ? 0 : count, ends[part]);
    }
}

/* Write the key, cut to `room` bytes (at least 1); returns its length, 0 if there is none here. */
static uint32_t hs_sort_key(const hs_order *o, const uint8_t *text, uint32_t units, uint8_t *out,
                            uint32_t room)
{
    hs_levels l;
    uint32_t i, at = 0, mask = hs_case_mask(o->flags), narrow = HS_IGNORE_CASE | HS_IGNORE_WIDTH;
    l.primary_length = l.diacritic_count = l.case_count = l.special_length = l.kana_count = 0;
    if (units > HS_TEXT_UNITS)
        return 0;
    for (i = 0; i < units; i++)
        if (hs_add_weight(&l, o, text, i, mask))
            return 0;
    if (o->locale & HS_REVERSED)
        hs_reverse(l.diacritics, l.diacritic_count);
    l.diacritic_count = hs_trimmed(l.diacritics, l.diacritic_count);
    l.case_count = hs_trimmed(l.cases, l.case_count);
    hs_put_level(out, room, &at, l.primary, l.primary_length, 1);
    hs_put_level(out, room, &at, l.diacritics,
                 o->flags & HS_IGNORE_NONSPACE ? 0 : l.diacritic_count, 1);
    hs_put_level(out, room, &at, l.cases, (o->flags & narrow) == narrow ? 0 : l.case_count, 1);
    if (l.kana_count)
        hs_put_kana(&l, !(o->flags & HS_IGNORE_NONSPACE), out, room, &at);
    hs_put_level(out, room, &at, l.special, 0, 1);
    hs_put_level(out, room, &at, l.special, l.special_length, 0);
    return at;
}

#endif
