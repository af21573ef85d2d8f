# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled search in the pages of a tree; see tree_py.py for what each function does."""

from libc.stdint cimport uint8_t, uint32_t
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_AS_STRING
from libc.string cimport memcpy

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


cdef uint32_t _size(bytearray page) except? 0:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(page)
    if size not in (2048, 4096, 8192, 16384, 32768):
        raise ValueError(f"a page of {size} bytes")
    return <uint32_t>size


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


def nodes(bytearray page not None, uint32_t first, uint32_t last):
    cdef hs_node n
    cdef bytes key
    cdef uint32_t i, size = _size(page)
    cdef list found = []
    for i in range(first, last):
        _ok(hs_read_node(<uint8_t *>PyByteArray_AS_STRING(page), size, i, &n))
        key = PyBytes_FromStringAndSize(NULL, n.shared + n.suffix_size)
        memcpy(PyBytes_AS_STRING(key), n.prefix, n.shared)
        memcpy(PyBytes_AS_STRING(key) + n.shared, n.suffix, n.suffix_size)
        found.append((key, n.data[:n.data_size], n.flags))
    return found


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
