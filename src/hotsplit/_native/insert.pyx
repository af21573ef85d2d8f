# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled planning of inserts; see insert_py.py for what each function does."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "insert.h" nogil:
    enum:
        HS_MOST_TAGS
    ctypedef struct hs_new:
        const uint8_t *key
        const uint8_t *data
        uint32_t key_size
        uint32_t data_size
        uint32_t line
        uint32_t shared
    ctypedef struct hs_leaf:
        pass
    ctypedef struct hs_common:
        uint64_t dbtime
        uint64_t before
        uint32_t procid
        uint32_t dbid
        uint32_t pgno
        uint32_t trx
        uint32_t level
        uint32_t flags
        uint32_t rceid
        uint32_t fdp
        uint32_t objid
    uint64_t hs_get64(const uint8_t *p)
    const char *hs_open_leaf_for(hs_leaf *leaf, uint8_t *page, uint32_t size, int unique)
    int hs_compare_mark(const hs_new *n, const uint8_t *mark, uint32_t size, int unique)
    int hs_is_above(const hs_new *n, const hs_new *before, int unique)
    const char *hs_place_new(hs_leaf *leaf, hs_new *n, int *fits)
    size_t hs_insert_size(const hs_new *n)
    void hs_put_insert(uint8_t *r, const hs_common *c, const hs_new *n, uint32_t number)

cdef enum:
    _MOST = 0x1000
    _UNIQUE = 4


cdef uint32_t _size(bytearray page) except? 0:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(page)
    if size != 8192 and size not in (2048, 4096, 16384, 32768):
        raise ValueError(f"a page of {size} bytes")
    return <uint32_t>size


def plan(bytearray page not None, list keys not None, list datas not None, Py_ssize_t first,
         bytes bound, fields):
    cdef uint8_t *p = <uint8_t *>PyByteArray_AS_STRING(page)
    cdef hs_new found[_MOST]
    cdef hs_leaf leaf
    cdef hs_common c
    cdef hs_new *n
    cdef bytes key, data
    cdef Py_ssize_t i, total = 0
    cdef uint32_t count = 0
    cdef int fits, unique
    cdef const char *why
    cdef const uint8_t *end = NULL if bound is None else <const uint8_t *>bound
    cdef uint32_t end_size = 0 if bound is None else <uint32_t>len(bound)
    c.procid, c.dbid, c.pgno, c.dbtime, c.trx, c.level, c.flags, c.rceid, c.fdp, c.objid = fields
    unique = (c.flags & _UNIQUE) != 0
    why = hs_open_leaf_for(&leaf, p, _size(page), unique)
    if why != NULL:
        raise ValueError(why.decode("ascii"))
    c.before = hs_get64(p + 8)
    if first < 0 or len(datas) < len(keys):
        raise ValueError("a node without a key or data")
    for i in range(first, len(keys)):
        n = &found[count]
        key, data = keys[i], datas[i]  # the lists keep them
        n.key, n.data = key, data
        n.key_size, n.data_size = <uint32_t>len(key), <uint32_t>len(data)
        if end != NULL and hs_compare_mark(n, end, end_size, unique) >= 0:
            break
        if count and not hs_is_above(n, n - 1, unique):
            break
        why = hs_place_new(&leaf, n, &fits)
        if why != NULL:
            raise ValueError(why.decode("ascii"))
        if not fits:
            break
        total += hs_insert_size(n)
        count += 1
    return _records(&c, found, count, total)


cdef _records(hs_common *c, hs_new *found, uint32_t count, Py_ssize_t total):
    cdef bytes log = PyBytes_FromStringAndSize(NULL, total)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(log)
    cdef list ends = []
    cdef Py_ssize_t end = 0
    cdef uint32_t i
    for i in range(count):
        hs_put_insert(at + end, c, &found[i], i)
        end += hs_insert_size(&found[i])
        ends.append(end)
    return log, ends
