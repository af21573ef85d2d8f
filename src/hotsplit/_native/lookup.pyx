# cython: language_level=3, boundscheck=False, wraparound=False
"""Searching pages of trees. See lookup_py.py for the readable reference."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "lookup.h" nogil:
    enum: HT_DAMAGED, HT_NO_CHILDREN, HT_BAD_CHILD
    ctypedef struct hs_page:
        const uint8_t *data
        uint32_t first
    ctypedef struct hs_node:
        uint32_t shared
        uint32_t key_length
        uint32_t data
        uint32_t length
        uint32_t flags
    int hs_is_page_size(size_t)
    int hs_open_page(hs_page *, const uint8_t *, uint32_t)
    int hs_find_node(const hs_page *, uint32_t, hs_node *)
    void hs_copy_key(const hs_page *, const hs_node *, uint8_t *)
    uint32_t ht_node_count(const hs_page *)
    int ht_lower_bound(const hs_page *, const uint8_t *, uint32_t)
    int ht_child_for(const hs_page *, const uint8_t *, uint32_t)
    int ht_child(const hs_page *, uint32_t, uint32_t *)

cdef dict _WHY = {
    HT_DAMAGED: "a node does not fit its line",
    HT_NO_CHILDREN: "an internal page has no children",
    HT_BAD_CHILD: "a child pointer is not 4 bytes long",
}


cdef int _open(hs_page *page, const uint8_t[::1] data) except -1:
    if not hs_is_page_size(data.shape[0]):
        raise ValueError(f"a page of {data.shape[0]} bytes")
    if hs_open_page(page, &data[0], <uint32_t>data.shape[0]):
        raise ValueError("the tag array overlaps the page header")
    return 0


cdef int _ok(int result) except -1:
    if result < 0:
        raise ValueError(_WHY[result])
    return result


def children(const uint8_t[::1] page not None):
    cdef hs_page p
    cdef uint32_t i, pgno = 0
    cdef list out = []
    _open(&p, page)
    for i in range(ht_node_count(&p)):
        _ok(ht_child(&p, i, &pgno))
        out.append(pgno)
    return out


def child_for(const uint8_t[::1] page not None, bytes key not None):
    cdef hs_page p
    cdef uint32_t pgno = 0
    _open(&p, page)
    cdef int i = _ok(ht_child_for(&p, <const uint8_t *>PyBytes_AS_STRING(key), <uint32_t>len(key)))
    _ok(ht_child(&p, i, &pgno))
    return i, pgno


def lower_bound(const uint8_t[::1] page not None, bytes key not None):
    cdef hs_page p
    _open(&p, page)
    return _ok(ht_lower_bound(&p, <const uint8_t *>PyBytes_AS_STRING(key), <uint32_t>len(key)))


def nodes(const uint8_t[::1] page not None, uint32_t start=0):
    cdef hs_page p
    cdef hs_node node
    cdef uint32_t i
    cdef bytes key
    cdef list out = []
    _open(&p, page)
    for i in range(start, ht_node_count(&p)):
        if hs_find_node(&p, p.first + i, &node):
            out.append(None)
            continue
        key = PyBytes_FromStringAndSize(NULL, node.shared + node.key_length)
        hs_copy_key(&p, &node, <uint8_t *>PyBytes_AS_STRING(key))
        data = PyBytes_FromStringAndSize(<const char *>p.data + node.data, node.length)
        out.append((key, data, node.flags))
    return out
