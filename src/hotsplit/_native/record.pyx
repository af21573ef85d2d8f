# cython: language_level=3, boundscheck=False, wraparound=False
"""Decoding records, a page at a time. See record_py.py for the readable reference."""

from struct import calcsize

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF16
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

cdef extern from "record.h" nogil:
    enum: HS_VALUE, HS_NULL, HS_ABSENT, HS_DAMAGED, HS_OLD, HS_BAD, HS_BAD_VARIABLE
    ctypedef struct hs_record:
        const uint8_t *data
        int trust
    ctypedef struct hs_span:
        uint32_t start
        uint32_t length
        uint8_t header
    ctypedef struct hs_page:
        uint32_t first
        uint32_t count
        uint32_t flags
    ctypedef struct hs_node:
        uint32_t shared
        uint32_t key_length
        uint32_t data
        uint32_t length
        uint32_t flags
    void hs_open(hs_record *, const uint8_t *, uint32_t, int, int)
    int hs_fixed(const hs_record *, uint32_t, uint32_t, uint32_t, hs_span *)
    int hs_variable(const hs_record *, uint32_t, hs_span *)
    int hs_tagged(const hs_record *, uint32_t, uint32_t, hs_span *)
    int hs_is_page_size(size_t)
    int hs_open_page(hs_page *, const uint8_t *, uint32_t)
    int hs_find_node(const hs_page *, uint32_t, hs_node *)
    void hs_copy_key(const hs_page *, const hs_node *, uint8_t *)

DAMAGED = -1
OLD_TAGGED = -2
RAW, BIT, NUMBER, ASCII, UTF16, BINARY = range(6)
KINDS = RAW, BIT, NUMBER, ASCII, UTF16, BINARY

cdef enum:
    K_RAW, K_BIT, K_NUMBER, K_ASCII, K_UTF16, K_BINARY

cdef tuple _BAD_RECORD = (-1, b"the record is damaged")
cdef tuple _BAD_PLACE = (-1, b"the value reaches outside its part of the record")
cdef tuple _BAD_SIZE = (-1, b"the value has the wrong size")

ctypedef struct column_t:
    uint32_t id
    uint32_t offset
    uint32_t size
    int kind
    char code
    bint derived
    bint listed
    bint converts


cdef class Plan:
    cdef column_t *columns
    cdef Py_ssize_t count
    cdef list defaults
    cdef list converters

    def __cinit__(self, columns):
        cdef Py_ssize_t i
        cdef column_t *c
        self.count = len(columns)
        self.columns = <column_t *>calloc(self.count + 1, sizeof(column_t))
        if self.columns == NULL:
            raise MemoryError
        self.defaults = []
        self.converters = []
        for i, (kind, code, id_, offset, size, derived, listed, default, convert) in enumerate(
            columns
        ):
            if not 1 <= id_ <= 0xFFFF or (kind == K_NUMBER and calcsize("<" + code) != size):
                raise ValueError(f"column {id_} of {size} bytes")
            c = &self.columns[i]
            c.kind, c.id, c.offset, c.size = kind, id_, offset, size
            c.code = ord(code) if code else 0
            c.derived, c.listed, c.converts = derived, listed, convert is not None
            self.defaults.append(default)
            self.converters.append(convert)

    def __dealloc__(self):
        free(self.columns)


cdef object _number(char code, const uint8_t *p, uint32_t size):
    cdef int16_t i16
    cdef uint16_t u16
    cdef int32_t i32
    cdef uint32_t u32
    cdef int64_t i64
    cdef uint64_t u64
    cdef float single
    cdef double real
    if code == b"B":
        return p[0]
    if code == b"h":
        memcpy(&i16, p, 2)
        return i16
    if code == b"H":
        memcpy(&u16, p, 2)
        return u16
    if code == b"i":
        memcpy(&i32, p, 4)
        return i32
    if code == b"I":
        memcpy(&u32, p, 4)
        return u32
    if code == b"q":
        memcpy(&i64, p, 8)
        return i64
    if code == b"Q":
        memcpy(&u64, p, 8)
        return u64
    if code == b"f":
        memcpy(&single, p, 4)
        return <double>single
    memcpy(&real, p, 8)
    return real


cdef bint _is_ascii(const uint8_t *p, uint32_t size) noexcept:
    cdef uint32_t i
    for i in range(size):
        if p[i] > 0x7F:
            return False
    return True


cdef object _pending(list pending, Py_ssize_t place, object value):
    pending.append(place)
    return value


cdef object _convert(Plan plan, Py_ssize_t place, const uint8_t *p, hs_span *s, list pending):
    cdef column_t *c = &plan.columns[place]
    cdef const char *text = <const char *>p
    cdef int order = -1
    if s.header > 1 or c.kind == K_RAW:
        return _pending(pending, place, (s.header, PyBytes_FromStringAndSize(text, s.length)))
    if c.size and s.length != c.size:
        return _pending(pending, place, _BAD_SIZE) if s.length else None
    if c.converts:
        value = plan.converters[place](PyBytes_FromStringAndSize(text, s.length))
    elif c.kind == K_BIT:
        value = p[0] != 0
    elif c.kind == K_NUMBER:
        value = _number(c.code, p, s.length)
    elif c.kind == K_BINARY:
        value = PyBytes_FromStringAndSize(text, s.length)
    elif c.kind == K_ASCII:
        if not _is_ascii(p, s.length):
            return _pending(pending, place, (s.header, PyBytes_FromStringAndSize(text, s.length)))
        value = PyUnicode_DecodeLatin1(text, s.length, NULL)
    else:
        try:
            value = PyUnicode_DecodeUTF16(<char *>text, s.length, NULL, &order)
        except UnicodeDecodeError:
            return _pending(pending, place, (s.header, PyBytes_FromStringAndSize(text, s.length)))
    return [value] if c.listed else value


cdef tuple _decode(const uint8_t *data, uint32_t length, Plan plan, bint large, bint old):
    cdef hs_record record
    cdef hs_span span
    cdef Py_ssize_t place
    cdef column_t *c
    cdef int state
    cdef list values = [None] * plan.count
    cdef list pending = []
    hs_open(&record, data, length, large, old)
    for place in range(plan.count):
        c = &plan.columns[place]
        if c.id < 128:
            state = hs_fixed(&record, c.id, c.offset, c.size, &span)
        elif c.id < 256:
            state = hs_variable(&record, c.id, &span)
        else:
            state = hs_tagged(&record, c.id, c.derived, &span)
        if state == HS_NULL:
            continue
        if state == HS_VALUE:
            values[place] = _convert(plan, place, data + span.start, &span, pending)
        elif state == HS_ABSENT:
            values[place] = plan.defaults[place]
        elif state == HS_OLD:
            values[place] = _pending(
                pending, place, (-2, <bytes>data[span.start : span.start + span.length])
            )
        else:
            values[place] = _pending(pending, place, _why(&record, c))
    return values, pending


cdef tuple _why(hs_record *record, column_t *c):
    cdef bint whole
    if c.id < 128:
        whole = record.trust == HS_BAD
    elif c.id < 256:
        whole = record.trust >= HS_BAD_VARIABLE
    else:
        whole = record.trust != 0
    return _BAD_RECORD if whole else _BAD_PLACE


def decode_record(const uint8_t[::1] data not None, Plan plan not None, bint large, bint old):
    cdef uint8_t nothing = 0
    cdef Py_ssize_t length = data.shape[0]
    return _decode(&data[0] if length else &nothing, <uint32_t>length, plan, large, old)


def decode_page(const uint8_t[::1] page not None, Plan plan not None, bint keys):
    cdef uint32_t size = <uint32_t>page.shape[0], line
    cdef const uint8_t *p = &page[0]
    cdef hs_page opened
    cdef hs_node node
    cdef bytes key
    cdef list rows = []
    if not hs_is_page_size(size):
        raise ValueError(f"a page of {size} bytes")
    if hs_open_page(&opened, p, size):
        raise ValueError("the tag array overlaps the page header")
    for line in range(opened.first, opened.count):
        if hs_find_node(&opened, line, &node):
            rows.append((line - opened.first, None, None, []))
            continue
        if node.flags & 2:
            continue
        key = None
        if keys:
            key = PyBytes_FromStringAndSize(NULL, node.shared + node.key_length)
            hs_copy_key(&opened, &node, <uint8_t *>PyBytes_AS_STRING(key))
        values, pending = _decode(
            p + node.data, node.length, plan, size > 8192, not opened.flags & 0x800
        )
        rows.append((line - opened.first, key, values, pending))
    return rows
