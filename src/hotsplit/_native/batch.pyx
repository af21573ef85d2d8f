# cython: language_level=3, boundscheck=False, wraparound=False
"""Decoding leaf pages into columns. See batch_py.py for the readable reference."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from "batch.h" nogil:
    enum: HB_BIT, HB_NUMBER, HB_BINARY, HB_GUID, HB_NO_MEMORY, HB_SCRATCH
    enum: HG_FOUND, HG_HARD
    ctypedef struct hb_buffer:
        uint8_t *data
        size_t used
    ctypedef struct hb_column:
        uint32_t id
        uint32_t offset
        uint32_t size
        int kind
        int derived
        int listed
        const uint8_t *fallback
        uint32_t fallback_size
        uint32_t twin
        uint32_t rows
        uint32_t elements
        hb_buffer validity
        hb_buffer ends
        hb_buffer data
        hb_buffer row_validity
        hb_buffer row_ends
    ctypedef struct hb_pending:
        uint32_t column, row, element, code, start, length, pgno, line
    ctypedef struct hb_place:
        uint32_t pgno
        uint16_t line
        uint16_t label
    ctypedef struct hb_builder:
        hb_column *columns
        hb_column *keys
        uint32_t count
        uint32_t *fixed
        uint32_t *variable
        uint32_t fixed_count
        uint32_t variable_count
        uint32_t *slots
        uint32_t low_id, id_count, tagged_count
        uint32_t *tagged
        uint32_t rows, most_rows, most_pending
        size_t bytes, most_bytes
        hb_buffer pending
        hb_buffer payload
        hb_buffer places
        hb_buffer trail
        uint32_t pgno, line, wanted, label
        uint8_t *scratch
    ctypedef struct hs_run:
        const uint8_t *data
        const uint8_t *states
        uint32_t page_size, first, count, good, objid
    ctypedef struct hg_value:
        uint64_t lid
        size_t start
        uint32_t size
        int state
    ctypedef struct hg_gather:
        hg_value *values
        uint32_t count, at, chunk
        int inside
        uint8_t *arena
        size_t used, budget
    int hg_walk(hg_gather *, const hs_run *, uint32_t *)
    uint32_t hg_wanted_key(const hg_gather *, uint8_t *)
    void hg_leave(hg_gather *, int)
    int hb_has_ends(const hb_column *)
    int hb_pad(hb_column *, uint32_t)
    int hb_complete(hb_column *)
    void hb_free(hb_column *)
    int hb_walk(hb_builder *, const hs_run *, uint8_t *, int, int, uint32_t *, uint32_t *)
    int hb_take_record(hb_builder *, const uint8_t *, uint32_t, int, int)
    int hb_add_place(hb_builder *, uint32_t)
    hb_pending hb_get_pending(const hb_builder *, size_t)
    hb_place hb_get_place(const hb_builder *, uint32_t)
    void hb_truncate(hb_builder *, uint8_t *, uint32_t)
    void hb_restart(hb_builder *)
    int hs_is_page_size(size_t)

cdef extern from "fill.h" nogil:
    enum: HB_STAYS_NULL
    int hb_gather(const hb_builder *, hg_gather *)
    uint32_t hb_fitting(const hb_builder *, const hg_gather *, int64_t *)
    int hb_take_gathered(hb_builder *, const hg_gather *)
    int hb_fill(hb_column *, const uint32_t *, const uint32_t *, size_t, const uint8_t *)

cdef extern from "times.h" nogil:
    int ht_is_filetime(int64_t)
    int ht_convert(const uint8_t *, int, int64_t *)

RAW, BIT, NUMBER, ANSI, UTF16, BINARY, GUID = range(7)
(LONG, COMPRESSED, TEXT, ENCRYPTED, BAD_RECORD, BAD_PLACE, BAD_SIZE, BAD_VALUES, BAD_NODE) = range(
    1, 10
)
END, OUTSIDE, REFUSED, MET, FULL, SEEK = range(6)
NO_ELEMENT = 0xFFFFFFFF
OLE, FILETIME = range(2)
FOUND, HARD, TOO_LARGE = 1, 2, 3


cdef int _ok(int status) except -1:
    if status == HB_NO_MEMORY:
        raise MemoryError
    return status


cdef bytes _bytes(hb_buffer *b):
    return PyBytes_FromStringAndSize(<char *>b.data, b.used)


cdef bytes _offsets(hb_buffer *ends):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, ends.used + 4)
    cdef char *to = PyBytes_AS_STRING(out)
    memset(to, 0, 4)
    if ends.used:
        memcpy(to + 4, ends.data, ends.used)
    return out


cdef bint _is_full(hb_buffer *bits, uint32_t count) noexcept:
    cdef uint32_t i
    for i in range(count // 8):
        if bits.data[i] != 0xFF:
            return False
    return count % 8 == 0 or bits.data[count // 8] == (1 << count % 8) - 1


cdef bint _is_empty(hb_buffer *bits) noexcept:
    cdef size_t i
    for i in range(bits.used):
        if bits.data[i]:
            return False
    return True


cdef object _validity(hb_buffer *bits, uint32_t count):
    return None if _is_full(bits, count) else _bytes(bits)


cdef object _column(hb_column *c, uint32_t rows):
    """Return the buffers of a column, or None where all rows are null."""
    _ok(hb_pad(c, rows))
    if not c.listed and _is_empty(&c.validity) and rows:
        return None
    _ok(hb_complete(c))
    return (
        c.elements,
        _validity(&c.validity, c.elements),
        _offsets(&c.ends) if hb_has_ends(c) else None,
        _bytes(&c.data),
        _validity(&c.row_validity, c.rows) if c.listed else None,
        _offsets(&c.row_ends) if c.listed else None,
    )


cdef int _open_run(
    hs_run *run,
    const uint8_t[::1] data,
    const uint8_t[::1] states,
    uint32_t good,
    uint32_t first,
    uint32_t page_size,
    uint32_t objid,
) except -1:
    run.count = <uint32_t>states.shape[0]
    run.first, run.good, run.objid, run.page_size = first, good, objid, page_size
    if run.count == 0 or data.shape[0] != run.count * <Py_ssize_t>page_size:
        raise ValueError(f"{data.shape[0]} bytes are not {run.count} pages")
    run.data, run.states = &data[0], &states[0]
    return 0


cdef class Gather:
    cdef hg_gather g

    def __cinit__(self, lids, chunk, budget):
        cdef uint32_t i
        self.g.values = <hg_value *>calloc(len(lids) + 1, sizeof(hg_value))
        if self.g.values == NULL:
            raise MemoryError
        self.g.count = <uint32_t>len(lids)
        self.g.chunk, self.g.budget = chunk, budget
        if self.g.chunk == 0:
            raise ValueError("chunks of 0 bytes")
        for i, lid in enumerate(lids):
            self.g.values[i].lid = lid

    def __dealloc__(self):
        free(self.g.values)
        free(self.g.arena)

    @property
    def wanted(self):
        cdef uint8_t key[12]
        if self.g.at >= self.g.count:
            return None
        return PyBytes_FromStringAndSize(<char *>key, hg_wanted_key(&self.g, key))

    @property
    def is_inside(self):
        return self.g.inside != 0

    def walk(
        self,
        const uint8_t[::1] data not None,
        const uint8_t[::1] states not None,
        good,
        first,
        page_size,
        objid,
        pgno,
    ):
        cdef hs_run run
        cdef uint32_t page = pgno
        cdef int reason
        if not hs_is_page_size(page_size):
            raise ValueError(f"a page of {page_size} bytes")
        _open_run(&run, data, states, good, first, page_size, objid)
        with nogil:
            reason = hg_walk(&self.g, &run, &page)
        return _ok(reason), page

    def miss(self):
        if self.g.at < self.g.count:
            hg_leave(&self.g, HG_HARD)

    def results(self):
        cdef uint32_t i
        cdef hg_value *v
        cdef list out = []
        for i in range(self.g.at):
            v = &self.g.values[i]
            data = None
            if v.state == HG_FOUND:
                data = PyBytes_FromStringAndSize(<char *>self.g.arena + v.start, v.size)
            out.append((v.state, 0 if v.state == HG_HARD else v.size, data))
        return out


cdef class Builder:
    cdef hb_builder b
    cdef hb_column *columns
    cdef hb_column key_column
    cdef list fallbacks
    cdef uint32_t page_size

    def __cinit__(
        self,
        columns,
        page_size,
        *,
        keys=False,
        deleted=False,
        live=True,
        most_rows=65536,
        most_bytes=1 << 24,
        most_pending=1024,
    ):
        cdef uint32_t i, count = <uint32_t>len(columns)
        cdef hb_column *c
        if not hs_is_page_size(page_size):
            raise ValueError(f"a page of {page_size} bytes")
        self.page_size = page_size
        self.fallbacks = []
        self.columns = <hb_column *>calloc(count + 1, sizeof(hb_column))
        self.b.fixed = <uint32_t *>malloc((3 * <size_t>count + 1) * sizeof(uint32_t))
        self.b.scratch = <uint8_t *>malloc(HB_SCRATCH)
        if self.columns == NULL or self.b.fixed == NULL or self.b.scratch == NULL:
            raise MemoryError
        self.b.columns = self.columns
        self.b.count = count
        self.b.variable = self.b.fixed + count
        self.b.tagged = self.b.variable + count
        for i, (kind, id_, offset, size, derived, listed, fallback) in enumerate(columns):
            if not 1 <= id_ <= 0xFFFF or not RAW <= kind <= GUID or not 0 <= size <= 0x7FFF:
                raise ValueError(f"column {id_} of {size} bytes")
            if kind in (BIT, NUMBER, GUID) and size not in _SIZES[kind]:
                raise ValueError(f"column {id_} of {size} bytes")
            c = &self.columns[i]
            c.kind, c.id, c.offset, c.size = kind, id_, offset, size
            c.derived, c.listed = derived, listed
            self._set_fallback(c, fallback)
            self._place(i)
        self._make_slots()
        if keys:
            self.key_column.kind = HB_BINARY
            self.b.keys = &self.key_column
        self.b.wanted = (1 if live else 0) | (2 if deleted else 0)
        self.b.most_rows, self.b.most_bytes = most_rows, most_bytes
        self.b.most_pending = most_pending

    cdef int _set_fallback(self, hb_column *c, fallback) except -1:
        cdef bytes kept
        if fallback is None:
            return 0
        kept = fallback
        if c.kind in (HB_BIT, HB_NUMBER, HB_GUID) and <size_t>len(kept) != c.size:
            raise ValueError(f"column {c.id}: a default of {len(kept)} bytes")
        self.fallbacks.append(kept)
        c.fallback = <const uint8_t *>PyBytes_AS_STRING(kept)
        c.fallback_size = <uint32_t>len(kept)
        return 0

    cdef int _place(self, uint32_t number) except -1:
        cdef hb_builder *b = &self.b
        cdef uint32_t id_ = self.columns[number].id
        if id_ < 128:
            b.fixed[b.fixed_count] = number
            b.fixed_count += 1
        elif id_ < 256:
            b.variable[b.variable_count] = number
            b.variable_count += 1
        else:
            b.tagged[b.tagged_count] = number
            b.tagged_count += 1
        return 0

    cdef int _make_slots(self) except -1:
        cdef hb_builder *b = &self.b
        cdef uint32_t i, low = 0xFFFF, high = 0, number
        cdef uint32_t *slot
        cdef hb_column *c
        for i in range(b.tagged_count):
            low = min(low, self.columns[b.tagged[i]].id)
            high = max(high, self.columns[b.tagged[i]].id)
        b.low_id = low
        b.id_count = high - low + 1 if b.tagged_count else 0
        b.slots = <uint32_t *>calloc(2 * b.id_count + 1, sizeof(uint32_t))
        if b.slots == NULL:
            raise MemoryError
        for i in range(b.tagged_count):
            number = b.tagged[i]
            c = &self.columns[number]
            slot = &b.slots[(b.id_count if c.derived else 0) + c.id - low]
            c.twin = slot[0]
            slot[0] = number + 1
        return 0

    def __dealloc__(self):
        cdef uint32_t i
        if self.columns != NULL:
            for i in range(self.b.count):
                hb_free(&self.columns[i])
        hb_free(&self.key_column)
        free(self.columns)
        free(self.b.fixed)
        free(self.b.slots)
        free(self.b.scratch)
        free(self.b.pending.data)
        free(self.b.payload.data)
        free(self.b.places.data)
        free(self.b.trail.data)

    @property
    def rows(self):
        return self.b.rows

    @property
    def value_bytes(self):
        return self.b.bytes

    @property
    def pending_count(self):
        return self.b.pending.used // sizeof(hb_pending)

    @property
    def is_full(self):
        return self.b.rows >= self.b.most_rows or self.b.bytes >= self.b.most_bytes

    def walk(
        self,
        const uint8_t[::1] data not None,
        const uint8_t[::1] states not None,
        good,
        first,
        uint8_t[::1] visited not None,
        objid,
        pgno,
        skip=0,
        *,
        reverse=False,
        again=False,
        label=0,
    ):
        cdef hs_run run
        cdef uint32_t at = skip, page = pgno
        cdef int reason, backwards = reverse, revisit = again
        _open_run(&run, data, states, good, first, self.page_size, objid)
        if visited.shape[0] * 8 < <Py_ssize_t>run.first + run.count:
            raise ValueError("there are more pages than bits")
        self.b.label = label
        with nogil:
            reason = hb_walk(&self.b, &run, &visited[0], backwards, revisit, &page, &at)
        return _ok(reason), page, at

    def add_record(self, const uint8_t[::1] record not None, pgno, line, label, *, old=False):
        cdef uint8_t nothing = 0
        cdef Py_ssize_t size = record.shape[0]
        if size > self.page_size:
            raise ValueError(f"a record of {size} bytes")
        self.b.pgno, self.b.line = pgno, line
        _ok(
            hb_take_record(
                &self.b,
                &record[0] if size else &nothing,
                <uint32_t>size,
                self.page_size > 8192,
                old,
            )
        )
        _ok(hb_add_place(&self.b, label))
        self.b.rows += 1

    def pending(self):
        cdef size_t i
        cdef hb_pending p
        cdef list out = []
        for i in range(self.b.pending.used // sizeof(hb_pending)):
            p = hb_get_pending(&self.b, i)
            payload = PyBytes_FromStringAndSize(<char *>self.b.payload.data + p.start, p.length)
            out.append((p.row, p.column, p.element, p.code, payload, p.pgno, p.line))
        out.sort()
        return out

    def clear_pending(self):
        self.b.pending.used = self.b.payload.used = 0

    def place(self, row):
        if not 0 <= row < self.b.rows:
            raise IndexError(row)
        cdef hb_place p = hb_get_place(&self.b, row)
        return p.pgno, p.line, p.label

    def truncate(self, row, uint8_t[::1] visited not None):
        if not 0 <= row < self.b.rows or visited.shape[0] == 0:
            raise IndexError(row)
        hb_truncate(&self.b, &visited[0], row)

    def gather(self, chunk, budget):
        cdef Gather out = Gather([], chunk, budget)
        free(out.g.values)
        _ok(hb_gather(&self.b, &out.g))
        return out

    def fitting(self, Gather gather not None, left):
        cdef int64_t rest = left
        row = hb_fitting(&self.b, &gather.g, &rest)
        return row, rest

    def take_gathered(self, Gather gather not None):
        _ok(hb_take_gathered(&self.b, &gather.g))

    def fill(self, column, list elements not None, list values not None):
        cdef size_t count = <size_t>len(elements), i, size = 0
        cdef uint32_t *numbers
        cdef uint32_t *lengths
        cdef hb_column *c
        cdef uint32_t before = 0
        if not 0 <= column < self.b.count or len(values) != <Py_ssize_t>count:
            raise IndexError(column)
        c = &self.columns[column]
        numbers = <uint32_t *>PyMem_Malloc((2 * count + 1) * sizeof(uint32_t))
        if numbers == NULL:
            raise MemoryError
        lengths = numbers + count
        try:
            for i in range(count):
                numbers[i] = elements[i]
                if numbers[i] >= c.elements or (i and numbers[i] <= before):
                    raise IndexError(elements[i])
                before = numbers[i]
                value = values[i]
                lengths[i] = HB_STAYS_NULL
                if value is None:
                    continue
                if not hb_has_ends(c) and <size_t>len(value) != c.size:
                    raise ValueError(f"a value of {len(value)} bytes")
                lengths[i] = <uint32_t>len(value)
                size += lengths[i]
            if size + c.data.used > 0x7FFFFFFF:
                raise OverflowError("a column of more than 2 GB")
            filling = b"".join([value for value in values if value is not None])
            _ok(hb_fill(c, numbers, lengths, count, filling))
        finally:
            PyMem_Free(numbers)

    def finish(self):
        cdef uint32_t i, rows = self.b.rows
        columns = [_column(&self.columns[i], rows) for i in range(self.b.count)]
        keys = _column(&self.key_column, rows) if self.b.keys != NULL else None
        places = _bytes(&self.b.places)
        hb_restart(&self.b)
        return rows, columns, keys, places


_SIZES = {BIT: (1,), NUMBER: (1, 2, 4, 8), GUID: (16,)}


def convert_times(const uint8_t[::1] data not None, validity, form):
    cdef Py_ssize_t count = data.shape[0] // 8, i
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef bytearray bits = bytearray(b"\xff" * ((count + 7) // 8))
    cdef int64_t value
    cdef int wanted = form
    cdef char *to = PyBytes_AS_STRING(out)
    cdef uint8_t[::1] valid
    cdef Py_ssize_t lost = 0
    if validity is not None:
        bits[:] = validity
    if data.shape[0] % 8 or len(bits) != (count + 7) // 8 or wanted not in (OLE, FILETIME):
        raise ValueError(f"{data.shape[0]} bytes of times")
    valid = bits
    for i in range(count):
        value = 0
        if valid[i >> 3] >> (i & 7) & 1 and ht_convert(&data[8 * i], wanted, &value):
            valid[i >> 3] &= ~(1 << (i & 7))
            value = 0
            lost += 1
        memcpy(to + 8 * i, &value, 8)
    if count % 8 and validity is None:
        bits[count // 8] &= (1 << count % 8) - 1
    return out, None if validity is None and not lost else bytes(bits), lost


def count_filetimes(const uint8_t[::1] data not None):
    cdef Py_ssize_t i, found = 0, others = 0
    cdef int64_t value
    for i in range(data.shape[0] // 8):
        memcpy(&value, &data[8 * i], 8)
        if ht_is_filetime(value):
            found += 1
        elif value:
            others += 1
    return found, others
