# cython: language_level=3, boundscheck=False, wraparound=False
"""Checking the pages of trees, records, long values and index entries; see integrity_py.py."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

_SIZES = ((1,), (1, 2, 4, 8), (2, 4, 8), (4, 8), (16,), (16,)) # of what is normalised as a number


cdef bytes _copy(const uint8_t *data, uint32_t length):
    return PyBytes_FromStringAndSize(<const char *>data, length)


cdef void _report(void *to, int code, hs_place place, uint64_t a, uint64_t b) noexcept:
    (<list>to).append((code, place.pgno, place.node, a, b))


cdef void _listed(void *to, hs_place place, const uint8_t *key, uint32_t key_length,
                  const uint8_t *data, uint32_t length) noexcept:
    (<list>to).append((place.pgno, place.node, _copy(key, key_length), _copy(data, length)))


cdef void _wanted(void *to, const uint8_t *lid, uint32_t length) noexcept:
    (<list>to).append(_copy(lid, length))


cdef void _found(void *to, int side, const uint8_t *key, uint32_t key_length, const uint8_t *data,
                 uint32_t length, uint64_t count, hs_place place) noexcept:
    (<Ledger>to).take(side, _copy(key, key_length), _copy(data, length), count,
                      (place.pgno, place.node))


cdef class Ledger:
    cdef hs_ledger c
    cdef readonly dict found
    cdef readonly uint64_t missed
    cdef bytearray _watched
    cdef uint64_t _most
    cdef readonly int bits

    def __cinit__(self, int bits=6, bint distinct=False):
        cdef size_t buckets
        if not 6 <= bits <= 32:
            raise ValueError(f"2 to the {bits} buckets")
        buckets = <size_t>1 << bits
        self.bits = bits
        self.found = {}
        self.c.shift = 64 - bits
        self.c.distinct = distinct
        self.c.found = _found
        self.c.to = <void *>self
        if distinct:
            self.c.bits[0] = <uint8_t *>calloc(buckets // 8, 1)
            self.c.bits[1] = <uint8_t *>calloc(buckets // 8, 1)
        else:
            self.c.sums = <uint64_t *>calloc(buckets, 8)
        if (self.c.sums == NULL) == (self.c.bits[0] == NULL or self.c.bits[1] == NULL):
            raise MemoryError

    def __dealloc__(self):
        free(self.c.sums)
        free(self.c.bits[0])
        free(self.c.bits[1])

    @property
    def counts(self):
        return self.c.counts[0], self.c.counts[1]

    def take(self, int side, bytes key, bytes data, count, place):
        item = self.found.get((key, data))
        if item is None:
            if <uint64_t>len(self.found) >= self._most:
                self.missed += 1
                return
            item = self.found[key, data] = [0, 0, None, None]
        if side == HS_ROWS and key and data and item[2] == place:
            return # the same entry of the same record once more
        item[side] += count
        if item[2 + side] is None:
            item[2 + side] = place

    def differing(self, bint subset):
        return hs_differing(&self.c, subset, 0, NULL)

    def watch(self, uint64_t buckets, uint64_t items, bint subset):
        self._watched = bytearray((<size_t>1 << self.bits) // 8)
        cdef uint8_t *bits = <uint8_t *><char *>self._watched
        hs_differing(&self.c, subset, buckets, bits)
        self._most = items
        self.c.watched = bits


cdef class Collection(Ledger):
    """Takes the place of a ledger and keeps the entries that rows make; see collect_py."""
    cdef hs_collection items

    def __cinit__(self):
        self._watched = bytearray(b"\xff" * 8)
        self.c.watched = <uint8_t *><char *>self._watched
        self.c.found, self.c.to = hs_collect, &self.items

    def __dealloc__(self):
        free(self.items.bytes)
        free(self.items.items)

    @property
    def size(self):
        return self.items.used

    def run(self):
        if self.items.failed:
            raise MemoryError
        cdef size_t size = hs_sort_collection(&self.items)
        run = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        hs_write_run(&self.items, <uint8_t *>PyBytes_AS_STRING(run))
        return run


cdef int _bytes_of(void *to, int separated, const uint8_t *data, uint32_t length, uint32_t most,
                   const uint8_t **out, uint32_t *out_length) noexcept:
    return (<Rows>to)._fetch(separated, data, length, most, out, out_length)


cdef int _key_of(void *to, void *order, const uint8_t *data, uint32_t length,
                 const uint8_t **out, uint32_t *out_length) noexcept:
    return (<Rows>to)._ask(<Order>order, data, length, out, out_length)


cdef class Order:
    """How the Unicode text of an index sorts; see Order in indexkey_py."""
    cdef hs_order c
    cdef const uint32_t[::1] _weights, _pages, _expansions
    cdef object _key

    def __cinit__(self, values):
        flags, locale, weights, pages, expansions, last_unit, digits, contracted, key = values
        self._weights, self._pages, self._key = weights, pages, key
        if len(pages) != 256 or max(pages) + 256 > len(weights):
            raise ValueError("no weights of characters")
        self.c.weights, self.c.pages = &self._weights[0], &self._pages[0]
        if len(expansions) > 1:
            self._expansions = expansions
            self.c.expansions = &self._expansions[0]
            self.c.expansion_count = <uint32_t>(len(expansions) // 2)
        self.c.flags, self.c.locale, self.c.last_unit = flags, locale, last_unit
        self.c.digits, self.c.contracted = digits, contracted
        self.c.object = <void *>self


cdef class Rows:
    cdef hs_rows c
    cdef object _call
    cdef list _held, _kept, _findings
    cdef object error

    def __cinit__(self, layout, primary, indexes, call, list findings not None):
        cdef Py_ssize_t i
        self._held, self._kept = [], []
        self._findings, self._call = findings, call
        self.c.report = _report
        self.c.to = <void *>findings
        self.c.source.fetch, self.c.source.ask = _bytes_of, _key_of
        self.c.source.to = <void *>self
        self.c.expanded = <uint8_t *>malloc(HS_EXPANDED_MOST)
        self.c.indexes = <hs_index *>calloc(len(indexes) + 1, sizeof(hs_index))
        if self.c.expanded == NULL or self.c.indexes == NULL:
            raise MemoryError
        self._set_layout(layout)
        for i, index in enumerate(indexes):
            self._set_index(&self.c.indexes[i], index)
        self.c.index_count = <uint32_t>len(indexes)
        if primary is not None:
            self._set_index(&self.c.indexes[len(indexes)], primary)
            self.c.primary = &self.c.indexes[len(indexes)]

    def __dealloc__(self):
        cdef uint32_t i
        free(self.c.expanded)
        if self.c.indexes != NULL:
            for i in range(self.c.index_count + (self.c.primary != NULL)):
                free(self.c.indexes[i].hashes)
            free(self.c.indexes)

    cdef _set_layout(self, layout):
        large, most, fixed_ends, fixed, var_last, variable, own, inherited, increment = layout
        self.c.large, self.c.most = large, most
        if not 1 <= len(fixed_ends) <= 128 or not 127 <= var_last <= 255:
            raise ValueError("no layout of a table")
        self.c.fixed_last, self.c.var_last = <uint32_t>len(fixed_ends) - 1, var_last
        for i, end in enumerate(fixed_ends):
            self.c.fixed_end[<int>i] = end
        for id_ in fixed:
            self.c.fixed_not_null[<int>((id_ - 1) >> 3 & 15)] |= <uint8_t>(1 << (id_ - 1 & 7))
        for id_ in variable:
            self.c.var_not_null[<int>((id_ - 128) >> 3 & 15)] |= <uint8_t>(1 << (id_ & 7))
        self._hold_tagged(0, own)
        self._hold_tagged(1, inherited)
        if increment is not None:
            id_, at, size, highest = increment
            if size not in (4, 8):
                raise ValueError("no autoincrement column")
            self.c.increment_id, self.c.increment_at = id_, at
            self.c.increment_size, self.c.increment_most = size, highest

    cdef _hold_tagged(self, int place, bytes infos):
        self._kept.append(infos)
        self.c.tagged[place] = <const uint16_t *>PyBytes_AS_STRING(infos)
        self.c.tagged_count[place] = <uint32_t>(PyBytes_GET_SIZE(infos) // 2)

    cdef _set_segment(self, hs_segment *s, values):
        id_, offset, size, derived, normal, descending, multi, null, callback, preset = values
        s.id, s.offset, s.size, s.normal = id_, offset, size, normal
        s.derived, s.descending, s.multi = derived, descending, multi
        s.must_be_null, s.callback = null, callback
        if not 1 <= id_ <= 0xFFFF or (id_ < 128 and size > 0x7FFF):
            raise ValueError(f"key segment of column {id_}")
        if normal < HS_N_FIXED_BINARY and size not in _SIZES[normal]:
            raise ValueError(f"key segment of {size} bytes")
        if preset is not None:
            self._kept.append(preset)
            s.preset = <const uint8_t *>PyBytes_AS_STRING(<bytes>preset)
            s.preset_length = <uint32_t>len(preset)

    cdef _set_index(self, hs_index *x, index):
        cdef int i
        segments, conditions, flags, key_most, var_most, tuples, compare, ledger, order = index
        if len(segments) > HS_SEGMENTS or len(conditions) > HS_SEGMENTS:
            raise ValueError("too many key segments")
        if not 1 <= key_most <= HS_KEY_MOST or var_most < 1:
            raise ValueError("no key length")
        for i in range(<int>len(segments)):
            self._set_segment(&x.segments[i], segments[i])
        for i in range(<int>len(conditions)):
            self._set_segment(&x.conditions[i], conditions[i])
        x.count, x.condition_count = <uint32_t>len(segments), <uint32_t>len(conditions)
        x.flags, x.key_most, x.var_most, x.compare = flags, key_most, var_most, compare
        if tuples is not None:
            x.tuple_least, x.tuple_most, x.tuple_count, x.tuple_step, x.tuple_start = tuples
        self._kept.append(ledger)
        x.ledger = &(<Ledger>ledger).c if ledger is not None else NULL
        if order is not None:
            known = Order(order)
            self._kept.append(known)
            x.order = &(<Order>known).c

    cdef int _fetch(self, int separated, const uint8_t *data, uint32_t length, uint32_t most,
                    const uint8_t **out, uint32_t *out_length) noexcept:
        try:
            value = self._call(bool(separated), _copy(data, length), most)
        except BaseException as error: # raised again when the pages are done
            self.error = error
            return -1
        return self._hold(value, out, out_length)

    cdef int _ask(self, Order order, const uint8_t *data, uint32_t length, const uint8_t **out,
                  uint32_t *out_length) noexcept:
        try:
            key = order._key(_copy(data, length))
        except BaseException as error: # raised again when the pages are done
            self.error = error
            return -1
        return self._hold(key, out, out_length)

    cdef int _hold(self, value, const uint8_t **out, uint32_t *out_length) noexcept:
        if value is None:
            return -1
        if len(self._held) > HS_SEGMENTS:
            del self._held[:-HS_SEGMENTS]
        self._held.append(value)
        out[0] = <const uint8_t *>PyBytes_AS_STRING(<bytes>value)
        out_length[0] = <uint32_t>len(value)
        return 0

    cdef reraise(self):
        error, self.error = self.error, None
        if error is not None:
            raise error

    def set_references(self, Ledger ledger):
        self._kept.append(ledger)
        self.c.references = &ledger.c if ledger is not None else NULL

    def set_copy(self, Ledger ledger, int side):
        self._kept.append(ledger)
        self.c.copy = &ledger.c
        self.c.copy_side = side

    @property
    def unknown(self):
        cdef uint32_t i
        return [self.c.indexes[i].unknown + self.c.indexes[i].failed
                for i in range(self.c.index_count)]


cdef class LongValues:
    cdef hs_long_values c
    cdef Rows _tools
    cdef Ledger _ledger

    def __cinit__(self, uint32_t chunk, bint wide_allowed, Ledger ledger not None,
                  Rows tools not None):
        if not chunk:
            raise ValueError("no chunk size")
        self._tools, self._ledger = tools, ledger
        self.c.chunk, self.c.wide_allowed = chunk, wide_allowed
        self.c.references = &ledger.c
        self.c.tools = &tools.c


cdef class Entries:
    cdef hs_entries c
    cdef list _kept

    def __cinit__(self, comparisons):
        cdef int i
        if len(comparisons) > HS_COMPARISONS:
            raise ValueError(f"{len(comparisons)} comparisons")
        self._kept = [ledger for _, ledger in comparisons]
        for i in range(<int>len(comparisons)):
            self.c.compare[i] = comparisons[i][0]
            self.c.ledger[i] = &(<Ledger?>self._kept[i]).c


cdef hs_bytes _bound(object key) except *:
    cdef hs_bytes bound
    bound.data, bound.length = NULL, 0
    if key is not None:
        bound.data = <const uint8_t *>PyBytes_AS_STRING(<bytes?>key)
        bound.length = <uint32_t>PyBytes_GET_SIZE(<bytes>key)
    return bound


cdef class Tree:
    cdef hs_tree *c
    cdef object _content
    cdef list _findings

    def __cinit__(self, uint32_t size, uint32_t objid, uint32_t kind, uint64_t dbtime,
                  uint32_t key_most, content, list findings not None):
        if not hs_is_page_size(size) or key_most > HS_KEY_ROOM:
            raise ValueError(f"pages of {size} bytes, keys of {key_most}")
        self.c = <hs_tree *>calloc(1, sizeof(hs_tree))
        if self.c == NULL:
            raise MemoryError
        self._content, self._findings = content, findings
        self.c.size, self.c.objid, self.c.kind = size, objid, kind
        self.c.dbtime, self.c.key_most = dbtime, key_most
        self.c.report = _report
        self.c.to = <void *>findings
        self.c.chained = 1
        self._set_content(content)

    def __dealloc__(self):
        free(self.c)

    cdef _set_content(self, content):
        if content is None:
            self.c.content = HS_NOTHING
        elif isinstance(content, list):
            self.c.content, self.c.listed = HS_LIST, _listed
            self.c.listed_to = <void *>content
        elif isinstance(content, Rows):
            self.c.content, self.c.rows = HS_RECORDS, &(<Rows>content).c
        elif isinstance(content, LongValues):
            self.c.content, self.c.long_values = HS_LV_NODES, &(<LongValues>content).c
        else:
            self.c.content, self.c.entries = HS_INDEX_ENTRIES, (<Entries?>content).c

    def internal(self, const uint8_t[::1] page not None, uint32_t pgno, bint is_root, low, high):
        cdef hs_page p
        cdef hs_node n
        cdef uint32_t count, i, length = 0
        if <uint32_t>page.shape[0] != self.c.size:
            raise ValueError(f"a page of {page.shape[0]} bytes")
        count = hs_check_internal(self.c, &p, &page[0], pgno, is_root, _bound(low), _bound(high))
        cdef list children = [], keys = []
        for i in range(count):
            hs_read_node(self.c, &p, i, &n, self.c.keys[0], &length)
            children.append(hs_get32(p.data + n.data))
            keys.append(_copy(self.c.keys[0], length))
        return children, keys

    def leaves(self, const uint8_t[::1] pages not None, uint32_t first, bint is_root, low,
               list highs not None):
        cdef hs_bytes below = _bound(low), above
        cdef uint32_t i, count = <uint32_t>len(highs)
        if <size_t>pages.shape[0] != <size_t>count * self.c.size:
            raise ValueError(f"{pages.shape[0]} bytes for {count} pages")
        for i in range(count):
            above = _bound(highs[i])
            if i:
                below = _bound(highs[i - 1])
            hs_check_leaf(self.c, &pages[<size_t>i * self.c.size], first + i, is_root, below, above)
        if isinstance(self._content, Rows):
            (<Rows>self._content).reraise()
        elif isinstance(self._content, LongValues):
            (<LongValues>self._content)._tools.reraise()

    def wanted(self, const uint8_t[::1] pages not None):
        cdef size_t at, size = <size_t>pages.shape[0]
        cdef list lids = []
        if self.c.content == HS_RECORDS:
            for at in range(0, size - size % self.c.size, self.c.size):
                hs_leaf_wants(self.c, &pages[at], _wanted, <void *>lids)
        return lids

    def enter(self, const uint8_t[::1] pages not None):
        cdef size_t at, size = <size_t>pages.shape[0]
        if self.c.content == HS_RECORDS:
            for at in range(0, size - size % self.c.size, self.c.size):
                hs_leaf_enter(self.c, &pages[at])
            (<Rows>self._content).reraise()

    def lose(self):
        hs_tree_lose(self.c)

    def finish(self):
        hs_finish_tree(self.c)

    @property
    def damaged(self):
        return bool(self.c.damaged)

    @property
    def counts(self):
        return (self.c.internals, self.c.leaves, self.c.nodes, self.c.deleted, self.c.versioned)
