# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled search in the pages of a tree; see tree_py.py for what each function does."""

from libc.stdint cimport uint8_t, uint32_t
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_AS_STRING
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    object PyType_GenericAlloc(type kind, Py_ssize_t items)

cdef extern from "node.h" nogil:
    ctypedef struct hs_node:
        uint32_t shared
        uint32_t flags
        uint32_t data_size
        const uint8_t *prefix
        const uint8_t *suffix
        const uint8_t *data
        uint32_t suffix_size
    ctypedef struct hs_line:
        uint32_t start
        uint32_t length
        uint32_t flags
    uint32_t hs_head(uint32_t size)
    void hs_put16(uint8_t *p, uint32_t v)
    void hs_set_count(uint8_t *p, uint32_t count)
    void hs_set_free(uint8_t *p, uint32_t value)
    void hs_set_tag(uint8_t *p, uint32_t size, uint32_t line, hs_line t)
    int hs_is_root(const uint8_t *p)
    uint32_t hs_count(const uint8_t *p)
    uint32_t hs_reserved(const uint8_t *p)
    const char *hs_read_node(uint8_t *page, uint32_t size, uint32_t iline, hs_node *n)
    const char *hs_prefix(const uint8_t *p, uint32_t size, const uint8_t **prefix, uint32_t *length)
    const char *hs_find_node(uint8_t *p, uint32_t size, const uint8_t *key, uint32_t key_size,
                             const uint8_t *data, uint32_t data_size, uint32_t *at, int *exact)
    const char *hs_find_child(uint8_t *p, uint32_t size, const uint8_t *mark, uint32_t mark_size,
                              uint32_t *at, uint32_t *pgno)


cdef uint32_t _room(Py_ssize_t size) except? 0:
    if size != 8192 and size not in (2048, 4096, 16384, 32768):
        raise ValueError(f"a page of {size} bytes")
    return <uint32_t>size


cdef uint32_t _size(bytearray page) except? 0:
    return _room(PyByteArray_GET_SIZE(page))


cdef int _ok(const char *why) except -1:
    if why != NULL:
        raise ValueError(why.decode("ascii"))
    return 0


def find(bytearray page not None, bytes key not None, bytes data):
    cdef uint32_t at = 0, size = _size(page), data_size = 0
    cdef int exact = 0
    cdef const uint8_t *d = NULL
    if data is not None:
        d = data
        data_size = <uint32_t>len(data)
    _ok(hs_find_node(<uint8_t *>PyByteArray_AS_STRING(page), size, key, <uint32_t>len(key), d,
                     data_size, &at, &exact))
    return at, exact != 0


def child(bytearray page not None, bytes mark not None):
    cdef uint32_t at = 0, pgno = 0, size = _size(page)
    _ok(hs_find_child(<uint8_t *>PyByteArray_AS_STRING(page), size, mark, <uint32_t>len(mark),
                      &at, &pgno))
    return at, pgno


def node(bytearray page not None, i):
    cdef hs_node n
    cdef bytes key
    cdef uint32_t size = _size(page)
    if not 0 <= i <= 0xFFF:
        raise ValueError(f"node {i}")
    _ok(hs_read_node(<uint8_t *>PyByteArray_AS_STRING(page), size, <uint32_t>i, &n))
    key = PyBytes_FromStringAndSize(NULL, n.shared + n.suffix_size)
    memcpy(PyBytes_AS_STRING(key), n.prefix, n.shared)
    memcpy(PyBytes_AS_STRING(key) + n.shared, n.suffix, n.suffix_size)
    return key, n.data[:n.data_size], n.flags


def nodes(const uint8_t[::1] page not None, uint32_t first, uint32_t last, type kind=tuple):
    cdef hs_node n
    cdef bytes key
    cdef uint32_t i, size = _room(page.shape[0])
    cdef list found = []
    cdef bint is_tuple = kind is tuple
    if not issubclass(kind, tuple) or kind.__basicsize__ != tuple.__basicsize__:
        raise TypeError(f"{kind} is not made like a tuple")
    for i in range(first, last):
        _ok(hs_read_node(<uint8_t *>&page[0], size, i, &n))
        key = PyBytes_FromStringAndSize(NULL, n.shared + n.suffix_size)
        memcpy(PyBytes_AS_STRING(key), n.prefix, n.shared)
        memcpy(PyBytes_AS_STRING(key) + n.shared, n.suffix, n.suffix_size)
        if is_tuple:
            found.append((key, n.data[:n.data_size], n.flags))
        else:
            found.append(_made(kind, key, n.data[:n.data_size], n.flags))
    return found


cdef object _made(type kind, bytes key, bytes data, object flags):
    """Return what `kind` makes of three items, without a tuple in between."""
    made = PyType_GenericAlloc(kind, 3)
    Py_INCREF(key)
    PyTuple_SET_ITEM(made, 0, key)
    Py_INCREF(data)
    PyTuple_SET_ITEM(made, 1, data)
    Py_INCREF(flags)
    PyTuple_SET_ITEM(made, 2, flags)
    return made


def fill(uint8_t[::1] page not None, bytes external not None, nodes, bint compress):
    cdef uint32_t size = _room(page.shape[0]), head = hs_head(size), lines = 1, used
    cdef uint32_t shared, key_size, data_size, at
    cdef uint8_t *p = &page[0]
    cdef const uint8_t *prefix = external
    cdef const uint8_t *k
    cdef uint32_t prefix_size = <uint32_t>len(external), start = 0
    cdef bytes key, data
    cdef bytearray kept
    cdef hs_line t
    if not compress:
        prefix_size = 0
    elif hs_is_root(p):
        start = 16 if prefix_size > 16 else prefix_size
    kept = bytearray(page)
    memset(p + head, 0, size - head)
    used = <uint32_t>len(external)
    if head + used + 4 > size:
        _back(page, kept)
    memcpy(p + head, <const uint8_t *>external, used)
    t.start = 0
    t.length = used
    t.flags = 0
    hs_set_tag(p, size, 0, t)
    for key, data, flags in nodes:
        k = key
        key_size = <uint32_t>len(key)
        data_size = <uint32_t>len(data)
        shared = 0
        while shared < key_size and start + shared < prefix_size and k[shared] == prefix[start + shared]:
            shared += 1
        if shared <= 2:
            shared = 0
        at = 4 if shared else 2
        t.start = used
        t.length = at + key_size - shared + data_size
        t.flags = (<uint32_t>flags & 3) | (4 if shared else 0)
        if head + used + t.length + 4 * (lines + 1) > size or lines >= 0xFFF:
            _back(page, kept)
        if shared:
            hs_put16(p + head + used, shared)
        hs_put16(p + head + used + at - 2, key_size - shared)
        memcpy(p + head + used + at, k + shared, key_size - shared)
        memcpy(p + head + used + at + key_size - shared, <const uint8_t *>data, data_size)
        hs_set_tag(p, size, lines, t)
        used += t.length
        lines += 1
    hs_set_count(p, lines)
    hs_set_free(p, size - head - used - 4 * lines)
    hs_put16(p + 32, used)


cdef int _back(uint8_t[::1] page, bytearray kept) except -1:
    memcpy(&page[0], <const uint8_t *>PyByteArray_AS_STRING(kept), page.shape[0])
    raise ValueError("the nodes do not fit the page")


def count(bytearray page not None):
    cdef const uint8_t *p = <const uint8_t *>PyByteArray_AS_STRING(page)
    cdef uint32_t lines, first
    _size(page)
    lines = hs_count(p)
    first = hs_reserved(p)
    return lines - first if lines > first else 0


def shared(bytearray page not None, bytes key not None):
    cdef const uint8_t *prefix = NULL
    cdef const uint8_t *k = key
    cdef uint32_t length = 0, i = 0, most = <uint32_t>len(key)
    _ok(hs_prefix(<uint8_t *>PyByteArray_AS_STRING(page), _size(page), &prefix, &length))
    if length < most:
        most = length
    while i < most and prefix[i] == k[i]:
        i += 1
    return i if i > 2 else 0


def saved(list keys not None, bytes prefix not None):
    cdef const uint8_t *p = prefix
    cdef const uint8_t *k
    cdef uint32_t i, most, length = <uint32_t>len(prefix)
    cdef Py_ssize_t total = 0
    cdef bytes key
    for key in keys:
        k = key
        most = min(<uint32_t>len(key), length)
        i = 0
        while i < most and p[i] == k[i]:
            i += 1
        if i > 2:
            total += i - 2
    return total
