# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled search in the pages of a tree; see tree_py.py for what each function does."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_AS_STRING
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PyType_GenericAlloc(type kind, Py_ssize_t items)

cdef extern from "refill.h" nogil:
    enum:
        HS_NODE_COST
    ctypedef struct hs_refill:
        pass
    ctypedef struct hs_given:
        const uint8_t *key
        const uint8_t *data
        uint32_t key_size
        uint32_t data_size
        uint32_t flags
    ctypedef struct hs_source:
        uint8_t *page
        uint32_t size
        uint32_t at
        const hs_given *given
        int replaces
    int hs_refill_begin(hs_refill *f, uint8_t *page, uint32_t size, const uint8_t *external,
                        uint32_t length, int compress)
    int hs_refill_add(hs_refill *f, const hs_given *n)
    void hs_refill_end(const hs_refill *f)
    const char *hs_refill_part(hs_refill *f, const hs_source *s, uint32_t first, uint32_t last)
    const char *hs_saved_on(uint8_t *page, uint32_t size, uint32_t first, uint32_t last,
                            const uint8_t *prefix, uint32_t length, uint64_t *saved)

cdef extern from "node.h" nogil:
    ctypedef struct hs_node:
        uint32_t shared
        uint32_t flags
        uint32_t data_size
        const uint8_t *prefix
        const uint8_t *suffix
        const uint8_t *data
        uint32_t suffix_size
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
    cdef uint32_t size = _room(page.shape[0])
    cdef bytes key, data
    cdef bytearray kept = bytearray(page)
    cdef hs_refill f
    cdef hs_given n
    if not hs_refill_begin(&f, &page[0], size, external, <uint32_t>len(external), compress):
        _back(page, kept, b"the nodes do not fit the page")
    for key, data, flags in nodes:
        n.key, n.key_size = key, <uint32_t>len(key)
        n.data, n.data_size, n.flags = data, <uint32_t>len(data), <uint32_t>flags
        if not hs_refill_add(&f, &n):
            _back(page, kept, b"the nodes do not fit the page")
    hs_refill_end(&f)


def fill_from(uint8_t[::1] page not None, bytes external not None, const uint8_t[::1] source not None,
              uint32_t first, uint32_t last, uint32_t at, node, bint replaces, bint compress):
    cdef uint32_t size = _room(page.shape[0])
    cdef bytearray kept = bytearray(page)
    cdef bytearray origin = bytearray(source)  # which may be the page itself
    cdef bytes key, data
    cdef hs_refill f
    cdef hs_given n
    cdef hs_source s
    cdef const char *why
    s.page, s.size = <uint8_t *>PyByteArray_AS_STRING(origin), _size(origin)
    s.at, s.given, s.replaces = at, NULL, replaces
    if node is not None:
        key, data, flags = node
        n.key, n.key_size = key, <uint32_t>len(key)
        n.data, n.data_size, n.flags = data, <uint32_t>len(data), <uint32_t>flags
        s.given = &n
    if not hs_refill_begin(&f, &page[0], size, external, <uint32_t>len(external), compress):
        _back(page, kept, b"the nodes do not fit the page")
    why = hs_refill_part(&f, &s, first, last)
    if why != NULL:
        _back(page, kept, why)
    hs_refill_end(&f)


def costs(const uint8_t[::1] page not None):
    cdef uint32_t i, size = _room(page.shape[0])
    cdef uint8_t *p = <uint8_t *>&page[0]
    cdef uint32_t lines = hs_count(p), first = hs_reserved(p)
    cdef hs_node n
    cdef list found = []
    for i in range(lines - first if lines > first else 0):
        _ok(hs_read_node(p, size, i, &n))
        found.append(HS_NODE_COST + n.shared + n.suffix_size + n.data_size)
    return found


def saved_on(const uint8_t[::1] page not None, uint32_t first, uint32_t last, bytes prefix not None):
    cdef uint64_t saved = 0
    _ok(hs_saved_on(<uint8_t *>&page[0], _room(page.shape[0]), first, last, prefix,
                    <uint32_t>len(prefix), &saved))
    return saved


cdef int _back(uint8_t[::1] page, bytearray kept, const char *why) except -1:
    memcpy(&page[0], <const uint8_t *>PyByteArray_AS_STRING(kept), page.shape[0])
    raise ValueError(why.decode("ascii"))


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
